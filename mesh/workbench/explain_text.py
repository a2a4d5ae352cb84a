"""Explanations as text: of a request that was sent, and of one that was only thought through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Step = Mapping[str, Any]


def lines_of_dry_run(answer: Mapping[str, Any]) -> list[str]:
    """Return the text form of ``mesh.commands.dry_run.explain``."""
    lines = [f"{answer['request']}   (decided by the sidecar of {answer['proxy']})"]
    lines.append(f"Virtual host: {answer['virtual_host'] or 'none'}")
    for each in answer["tried"]:
        sign = "✓" if each["matches"] else "✗"
        origin = f"   [{each['from']}]" if each["from"] else ""
        lines.append(f"  {sign} route {each['route']}: {each['match']}{origin}")
    return lines + [f"  {each}" for each in answer["outcome"]]


def lines_of_hops(found: Mapping[str, Any]) -> list[str]:
    """Return the text form of a request's records, hop by hop (``mesh.testbed.hops``)."""
    answer = f" -> {found['status']}" if "status" in found else ""
    lines = [f"Request {found['request_id']}{answer}"]
    for number, hop in enumerate(found["hops"], 1):
        flags = "" if hop["response_flags"] in ("-", "") else f" {hop['response_flags']}"
        lines.append(
            f"\n{number}. {hop['pod']} {hop['direction']}: {hop['method']} "
            f"{hop['authority']}{hop['path']} -> {hop['response_code']}{flags} "
            f"{hop['response_code_details']} in {hop['duration_ms']:g} ms"
        )
        lines += _steps(hop) or _logged(hop)
    if found["engine"] == "envoy":
        lines.append("\nEnvoy's access log tells no more: not the draws, nor why an endpoint.")
    return lines


def _steps(hop: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for step in hop["steps"]:
        write = _WRITERS.get(step["step"])
        text = write(step) if write is not None else _plain(step)
        lines.append(f"   {step['step'] + ':':<12} {text}")
        for each in step.get("not_taken", ()):
            because = f": {each['because']}" if each["because"] else ""
            lines.append(f"   {'':<12} ✗ {each['route']}{because}")
    return lines


def _logged(hop: Mapping[str, Any]) -> list[str]:
    names = ("route_name", "upstream_cluster", "upstream_host", "attempts")
    shown = [(name, hop[name]) for name in (*names, "upstream_hosts_attempted") if hop.get(name)]
    return [f"   {name}: {value}" for name, value in shown]


def _plain(step: Step) -> str:
    left = {name: value for name, value in step.items() if name not in ("step", "not_taken")}
    return ", ".join(f"{name} {value}" for name, value in left.items())


def _cluster(step: Step) -> str:
    if "why" in step:
        return f"{step['cluster']}: {step['why']}"
    share = f"weight {step['weight']} of {step['total']}"
    return f"{step['cluster']}, drawn with {step['draw']} ({share})"


def _endpoint(step: Step) -> str:
    where = f"{step['pod']} ({step['address']})" if step["pod"] else str(step["address"])
    return f"attempt {step['attempt']} at {where}" + (f", {step['why']}" if step["why"] else "")


def _outcome(step: Step) -> str:
    how = step["status"] if "status" in step else step["reset"]
    return f"attempt {step['attempt']}: {how} after {step['ms']:g} ms"


def _not_in_play(step: Step) -> str:
    hosts = step["hosts"]
    return "; ".join(f"{each['pod'] or each['address']} ({each['because']})" for each in hosts)


def _fault(step: Step) -> str:
    parts = [f"delay {step['delay']:g} s"] if step["delay"] else []
    parts += [f"abort with {step['abort']}"] if step["abort"] else []
    return " and ".join(parts)


def _mirror(step: Step) -> str:
    return f"a copy to {step['cluster']}" + ("" if step["sent"] else " (no such cluster)")


def _rbac(step: Step) -> str:
    """What policies decided, and what shadow rules note: whether to ask (CUSTOM), or a dry run."""
    policy = step["policy"] or "no policy matched"
    note = step.get("shadow")
    if note is None:
        return f"{step['action']} {'lets it pass' if step['allowed'] else 'refuses it'}: {policy}"
    if "dry_run" in note:
        would = "would let it pass" if step["allowed"] else "would refuse it"
        return f"{note.split('_')[3].upper()} on trial {would}: {policy}"
    return f"the server of one's own is {'asked' if step['policy'] else 'not asked'}: {policy}"


_WRITERS: dict[str, Callable[[Step], str]] = {
    "route": lambda step: str(step["matched"]),
    "no route": lambda step: str(step["why"]),
    "cluster": _cluster,
    "hash": lambda step: "no key" if step["value"] is None else f"{step['value']:016x}",
    "endpoint": _endpoint,
    "not in play": _not_in_play,
    "outcome": _outcome,
    "retry": lambda step: f"after a pause of {step['after_ms']} ms",
    "ejection": lambda step: f"{step['pod'] or step['address']}: {step['because']}",
    "fault": _fault,
    "mirror": _mirror,
    "rbac": _rbac,
}
