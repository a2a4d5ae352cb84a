"""Lab 10's probes and checks: what leaves the mesh, by which door, and in which state.

Every request is sent once, as an application of a pod sends it, with an id of its own; the world
outside (``services.external``) writes down what reached it, and whether it came encrypted.  So a page
that must not leave is looked for where it would have arrived, and no status is believed.  Pages, banks
and maps of all tasks are asked for, and only the student's own may be reached.  What is encrypted by
the application has no id at the gateway; there the server name is counted.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from grader.checks import check, probe
from grader.collect import Lab
from grader.evidence.record import Evidence
from grader.evidence.traffic import all_served
from grader.verdict import Outcome, failed, passed
from mesh.testbed.client import NoAnswerError

from .rules import REGISTRY, RULE, UNVERIFIED

NEWS = "edition.cnn.com"
GATEWAY = "istio-egressgateway"
READER = "preference"
"""The one service that may read the news."""

OTHERS = ("customer", "recommendation")
PAGES = ("/health", "/sport", "/travel", "/style", "/weather", "/politics", "/")
BANKS = ("api.bank.example", "api.giro.example", "api.coins.example")
MAPS = ("maps.example", "tiles.example", "roads.example")
STRANGER = "httpbin.org"


class Asker:
    """Sends requests one by one and writes down what each was, and how it ended."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab = lab
        self._name = name
        self._number = itertools.count()
        self.asked: list[dict[str, Any]] = []

    def ask(self, caller: str, url: str) -> dict[str, Any]:
        """One GET; ``status`` 0: no HTTP answer came."""
        request_id = f"{self._name}-{self._lab.nonce}-{next(self._number):03d}"
        try:
            headers = {"x-request-id": request_id}
            status = self._lab.testbed.request(url, from_pod=caller, headers=headers).status
        except NoAnswerError:
            status = 0
        one = {"caller": caller, "url": url, "id": request_id, "status": status}
        self.asked.append(one)
        return one


@probe
def visits(lab: Lab) -> None:
    """Visiting as customers do."""
    lab.apply_student()
    lab.count("visits", 12, users=2)


@probe
def news(lab: Lab) -> None:
    """Reading the news, page by page."""
    asker = Asker(lab, "news")
    page = lab.parameters["page"]
    for each in (*PAGES, "/health/today", f"{page}/today", f"{page}-results"):
        asker.ask(READER, f"http://{NEWS}{each}")
    asker.ask(READER, f"http://{NEWS}{page}?edition=2")
    for caller in OTHERS:
        for each in ("/health", page):
            asker.ask(caller, f"http://{NEWS}{each}")
    for caller in (READER, *OTHERS):
        asker.ask(caller, f"https://{NEWS}/politics")
    lab.note("news", asked=asker.asked)


@probe
def bank(lab: Lab) -> None:
    """Calling the bank, encrypted."""
    asker = Asker(lab, "bank")
    for name in BANKS:
        for caller in (READER, *OTHERS) if name == lab.parameters["bank"] else OTHERS[:1]:
            asker.ask(caller, f"https://{name}/accounts")
    lab.note("bank", asked=asker.asked)


@probe
def maps(lab: Lab) -> None:
    """Looking at maps."""
    asker = Asker(lab, "maps")
    for name in MAPS:
        for caller in (READER, *OTHERS) if name == lab.parameters["maps"] else OTHERS[:1]:
            if not asker.ask(caller, f"http://{name}/north")["status"]:
                break  # whoever speaks TLS to a port that does not waits long: once is enough
    lab.note("maps", asked=asker.asked)


@probe
def strangers(lab: Lab) -> None:
    """Asking for what nobody listed."""
    asker = Asker(lab, "strangers")
    for caller in (READER, *OTHERS):
        asker.ask(caller, f"http://{STRANGER}/get")
        asker.ask(caller, f"https://{STRANGER}/get")
    for name in BANKS:
        asker.ask(OTHERS[0], f"http://{name}/accounts")
    lab.note("strangers", asked=asker.asked)


@probe
def predicted(lab: Lab) -> None:
    """Measuring what was to be predicted."""
    own = lab.parameters
    asker = Asker(lab, "predicted")
    lab.apply_text(REGISTRY + RULE.format(page=own["page"]))
    found = {
        "below-the-page": asker.ask(READER, f"http://{NEWS}{own['page']}/today")["status"],
        "past-the-rule": asker.ask(READER, f"https://{NEWS}/politics")["status"],
        "not-listed": asker.ask(READER, f"http://{own['maps']}/")["status"],
    }
    lab.apply_text(UNVERIFIED.format(maps=own["maps"]))
    found["whose-certificate"] = asker.ask(READER, f"http://{own['maps']}/")["status"]
    lab.note("predicted", **found)


def host_of(url: str) -> str:
    """``http://NAME/path`` -> NAME."""
    return url.split("/")[2]


def arrived(evidence: Evidence) -> dict[str, str]:
    """Request id -> scheme in which the world outside received it."""
    outside = {NEWS, STRANGER, *BANKS, *MAPS}
    return {
        str(line.get("request_id")): str(line.get("scheme"))
        for line in evidence.journal
        if line.get("pod") in outside
    }


def through_the_gateway(evidence: Evidence) -> set[str]:
    """The ids of requests that the egress gateway wrote a line about."""
    return {
        str(line.get("request_id"))
        for line in evidence.access_log
        if str(line.get("pod", "")).startswith(GATEWAY) and line.get("request_id")
    }


def said(asked: Iterable[Mapping[str, Any]]) -> str:
    """``customer asked http://...: 403; ...``, five of them."""
    lines = [f"{one['caller']} asked {one['url']}: {one['status'] or 'no answer'}" for one in asked]
    return "; ".join(lines[:5]) + (f"; and {len(lines) - 5} more" if len(lines) > 5 else "")


def readable(evidence: Evidence) -> set[str]:
    """The URLs of the news that may be read."""
    page = evidence.parameters["page"]
    return {f"http://{NEWS}{each}" for each in ("/health", page, f"{page}?edition=2")}


def asked_for(evidence: Evidence, name: str) -> list[dict[str, Any]]:
    """What a probe asked."""
    asked: list[dict[str, Any]] = evidence.notes[name]["asked"]
    return asked


def read_by_the_reader(evidence: Evidence) -> list[dict[str, Any]]:
    """Pages that preference may read, and got from outside."""
    came, allowed = arrived(evidence), readable(evidence)
    return [
        one
        for one in asked_for(evidence, "news")
        if one["caller"] == READER
        and one["url"] in allowed
        and one["id"] in came
        and one["status"] == 200
    ]


NO_NEWS = "No page of the news leaves at all, so nothing can be said of who may read which."
NO_NEWS_HELP = "First let the two pages out: read the check before this one."


@check(points=1, needs=("visits",))
def customers_are_served(evidence: Evidence) -> Outcome:
    """Visits come through: gateway, customer, preference, and from there to the news."""
    return all_served(
        evidence,
        "visits",
        help="preference asks http://edition.cnn.com/health. Follow one of these requests with "
        "`meshctl logs`: sidecar, egress gateway, world.",
    )


@check(points=2, needs=("news",))
def the_two_pages_leave_encrypted(evidence: Evidence) -> Outcome:
    """Preference reads the two pages, through the egress gateway, and they leave it encrypted."""
    came, gateway, allowed = arrived(evidence), through_the_gateway(evidence), readable(evidence)
    mine = [
        one
        for one in asked_for(evidence, "news")
        if one["caller"] == READER and one["url"] in allowed
    ]
    if bad := [one for one in mine if one["status"] != 200 or one["id"] not in came]:
        return failed(
            f"{len(bad)} of {len(mine)} requests for the two pages were not answered by the site.",
            help="Which proxy writes the last line about them? Does it know the page, the caller, and "
            "that the site speaks TLS?",
            evidence=said(bad),
        )
    if past := [one for one in mine if one["id"] not in gateway]:
        return failed(
            f"{len(past)} of {len(mine)} requests reached the site past the egress gateway.",
            help="The VirtualService needs two routes: one for `mesh`, which leads to the gateway, and "
            "one for the gateway.",
            evidence=said(past),
        )
    if bare := [one for one in mine if came[one["id"]] != "https"]:
        return failed(
            f"{len(bare)} of {len(mine)} requests reached the site in plain text.",
            help="Port 443, and a DestinationRule that says how to speak there.",
            evidence=said(bare),
        )
    return passed(f"All {len(mine)} went through the gateway, and arrived encrypted.")


@check(points=2, needs=("news",))
def no_other_page_leaves(evidence: Evidence) -> Outcome:
    """No other page of the news is read, whether the application encrypts or not."""
    came, allowed = arrived(evidence), readable(evidence)
    others = [one for one in asked_for(evidence, "news") if one["url"] not in allowed]
    if not read_by_the_reader(evidence):
        return failed(NO_NEWS, help=NO_NEWS_HELP)
    if out := [one for one in others if one["id"] in came]:
        past = [one for one in out if one["url"].startswith("https:")]
        return failed(
            f"{len(out)} of {len(others)} other pages were read"
            + (", encrypted by the application, past every rule." if past == out else "."),
            help="Nobody on the way sees the page of a request that is encrypted already: such a "
            "connection must find no way out."
            if past
            else "A path is one thing, all that begins like it is another. And all conditions of a "
            "match stand under one dash.",
            evidence=said(out),
        )
    return passed(f"None of {len(others)} other pages reached the site.")


@check(points=1, needs=("news",))
def only_preference_reads(evidence: Evidence) -> Outcome:
    """Nobody else reads the two pages."""
    came, allowed = arrived(evidence), readable(evidence)
    if not read_by_the_reader(evidence):
        return failed(NO_NEWS, help=NO_NEWS_HELP)
    theirs = [
        one
        for one in asked_for(evidence, "news")
        if one["caller"] != READER and one["url"] in allowed
    ]
    if out := [one for one in theirs if one["id"] in came]:
        return failed(
            f"{len(out)} of {len(theirs)} requests of others were let out.",
            help="The gateway sees the certificate of whoever calls. Is the policy where the gateway "
            "is, and does its rule say who?",
            evidence=said(out),
        )
    return passed(f"None of {len(theirs)} requests of others left.")


@check(points=1, needs=("bank",))
def the_bank_is_reached_by_its_name(evidence: Evidence) -> Outcome:
    """What applications encrypt for the bank goes through the egress gateway, and is answered."""
    name, came = evidence.parameters["bank"], arrived(evidence)
    mine = [one for one in asked_for(evidence, "bank") if host_of(one["url"]) == name]
    if not mine:
        return failed(f"{name} was not asked.", help="Whose task was answered?")
    if bad := [one for one in mine if one["status"] != 200 or one["id"] not in came]:
        return failed(
            f"{len(bad)} of {len(mine)} requests to https://{name} were not answered.",
            help="Sidecar, gateway and policy each have to know the name, and none can see more than it.",
            evidence=said(bad),
        )
    passes = sum(
        1
        for line in evidence.access_log
        if str(line.get("pod", "")).startswith(GATEWAY)
        and line.get("requested_server_name") == name
    )
    if passes < len(mine):
        return failed(
            f"{len(mine)} connections to {name} were made, {passes} of them through the gateway.",
            help="A ServiceEntry opens the direct way. A VirtualService with `tls` and `sniHosts` leads "
            "to the gateway, and from there on.",
        )
    return passed(f"All {len(mine)} connections went through the gateway by their name.")


@check(points=1, needs=("maps",))
def the_sidecar_encrypts_for_the_maps(evidence: Evidence) -> Outcome:
    """The maps are asked for in plain HTTP, and receive it encrypted, from the sidecar itself."""
    name, came = evidence.parameters["maps"], arrived(evidence)
    mine = [one for one in asked_for(evidence, "maps") if host_of(one["url"]) == name]
    if bad := [one for one in mine if one["status"] != 200 or one["id"] not in came]:
        return failed(
            f"{len(bad)} of {len(mine)} requests to http://{name} were not answered by it.",
            help="Port 80 is what the application asks, 443 is where TLS is spoken (targetPort, or a "
            "route). Who speaks it?",
            evidence=said(bad),
        )
    if bare := [one for one in mine if came[one["id"]] != "https"]:
        return failed(
            f"{len(bare)} of {len(mine)} requests reached {name} in plain text.",
            help="A DestinationRule's `tls` says what the sidecar speaks.",
            evidence=said(bare),
        )
    gateway = through_the_gateway(evidence)
    if led := [one for one in mine if one["id"] in gateway]:
        return failed(
            f"{len(led)} of {len(mine)} requests went through the egress gateway.",
            help="The task wants them to leave from the sidecar.",
        )
    return passed(f"All {len(mine)} arrived encrypted, though no application encrypts.")


@check(points=2, needs=("strangers", "bank", "maps"))
def nothing_else_leaves(evidence: Evidence) -> Outcome:
    """No other host is reached, in plain text or encrypted, and the bank not in plain text."""
    own = {f"https://{evidence.parameters['bank']}", f"http://{evidence.parameters['maps']}"}
    came = arrived(evidence)
    asked = [
        one
        for name in ("strangers", "bank", "maps")
        for one in asked_for(evidence, name)
        if one["url"].rpartition("/")[0] not in own
    ]
    if out := [one for one in asked if one["id"] in came]:
        hosts = Counter(f"{one['url'].partition(':')[0]} to {host_of(one['url'])}" for one in out)
        return failed(
            f"{len(out)} of {len(asked)} requests left that nobody allowed: "
            f"{', '.join(sorted(hosts))}.",
            help="Which mode does the outboundTrafficPolicy have? And a ServiceEntry opens each port "
            "that it lists.",
            evidence=said(out),
        )
    return passed(f"None of {len(asked)} other requests left.")
