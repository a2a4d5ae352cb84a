"""Policy: rules, handlers and instances; what they say about a request, and who takes reports.

A rule whose ``match`` holds hands its instances to its handlers; the first that refuses decides.
Rules of a namespace judge requests to its workloads, those of istio-system all requests.  Quotas
are charged for the services that a QuotaSpecBinding names.  Without expressions that differ, an
answer is kept as long as its adapter says it is valid.
Source: istio/istio 1.4 ``mixer/pkg/runtime``.  Shown by ``meshctl logs POD`` (flag UAEX).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mesh.istio.mixer_expression import (
    AbsentError,
    ExpressionError,
    Literal,
    Node,
    attributes_of,
    evaluate,
    parse,
)
from mesh.istio.resource import Resource
from mesh.mixer.adapters import (
    OK,
    AdapterError,
    CheckAdapter,
    ReportAdapter,
    Sink,
    Verdict,
    load,
)
from mesh.topology import ROOT_NAMESPACE

HANDLERS = ("denier", "listchecker", "memquota", "prometheus", "stdio")
"""Kinds that are handlers; other adapters come by ``kind: handler``."""
ELSEWHERE = ("fluentd", "statsd", "stackdriver", "circonus")
"""Adapters that sent reports to servers of others: accepted, no effect."""
INTERNAL = 13
INSTANCES = ("checknothing", "listentry", "quota", "metric", "logentry", "authorization", "apikey")
OUTBOUND = "outbound"
"""``context.reporter.kind`` of a gateway or a client's sidecar: its own namespace's rules hold."""
_SCOPE = (
    "context.reporter.kind",
    "destination.namespace",
    "destination.service",
    "source.namespace",
)
MAX_KEPT = 10_000


class PolicyError(Exception):
    """The configuration cannot be executed; one sentence."""


@dataclass(frozen=True, slots=True)
class Handler:
    """An adapter with its parameters; ``name`` is ``handler.adapter.namespace``."""

    name: str
    adapter: CheckAdapter | ReportAdapter
    quota: bool

    @property
    def checks(self) -> bool:
        """Whether it judges requests."""
        return hasattr(self.adapter, "check")

    @property
    def reports(self) -> bool:
        """Whether it takes reports."""
        return hasattr(self.adapter, "report")


@dataclass(frozen=True, slots=True)
class Instance:
    """Named expressions; ``name`` is ``instance.template.namespace``."""

    name: str
    template: str
    values: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule does when ``match`` (None: always) holds."""

    namespace: str
    match: Node | None
    actions: tuple[tuple[Handler, tuple[Instance, ...]], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The judgement of a request: its code, and the text that the caller gets."""

    code: int = OK
    text: str = ""


class Policy:
    """The rules in force."""

    def __init__(
        self, resources: list[Resource], clock: Callable[[], float], folder: str = ""
    ) -> None:
        """Compile ``resources``; ``folder`` has adapters of one's own.  PolicyError when it cannot."""
        self._clock = clock
        self._kept: dict[tuple[Any, ...], tuple[float, Answer]] = {}
        self._handlers: dict[str, Handler] = {}
        self._instances: dict[str, Instance] = {}
        for each in resources:
            try:
                self._take(each, folder)
            except (AdapterError, ExpressionError) as error:
                raise PolicyError(f"{each.full_name}: {error}") from None
        self._rules = [self._rule(each) for each in resources if each.kind == "rule"]
        self._charges = _charges(resources)
        self._read = sorted(
            {
                name
                for rule in self._rules
                for node in [
                    *([rule.match] if rule.match else []),
                    *(
                        node
                        for handler, found in rule.actions
                        if handler.checks
                        for instance in found
                        for node in instance.values.values()
                    ),
                ]
                for name in attributes_of(node)
            }
        )

        self.reports = any(each.reports for rule in self._rules for each, _ in rule.actions)

    def _take(self, each: Resource, folder: str) -> None:
        kind, spec = each.kind, each.spec.model_dump(by_alias=True, exclude_none=True)
        if kind == "handler" or kind in HANDLERS:
            own = kind in HANDLERS
            adapter = kind if own else spec.get("compiledAdapter") or spec.get("adapter")
            params = spec if own else spec.get("params") or {}
            if adapter in ELSEWHERE or not adapter:
                return
            made = load(str(adapter), params, self._clock, folder)
            name = f"{each.name}.{adapter}.{each.namespace}"
            handler = Handler(name, made, adapter == "memquota")
            for alias in _aliases(each, "handler"):
                self._handlers[alias] = handler
        elif kind == "instance" or kind in INSTANCES:
            template = kind if kind in INSTANCES else spec.get("compiledTemplate") or ""
            params = spec if kind in INSTANCES else spec.get("params") or {}
            values = _expressions(template, params)
            nodes = {
                key: parse(value) if isinstance(value, str) else Literal(value)
                for key, value in values.items()
                if isinstance(value, (str, int, bool))
            }
            name = f"{each.name}.{template}.{each.namespace}"
            for alias in _aliases(each, "instance"):
                self._instances[alias] = Instance(name, template, nodes)

    def _rule(self, each: Resource) -> Rule:
        actions = []
        spec: Any = each.spec
        for action in spec.actions or []:
            handler = self._find(self._handlers, action.handler or "", each.namespace)
            if handler is None:
                continue  # it reports elsewhere, or is not there: Mixer skipped it too
            found = [
                self._find(self._instances, name, each.namespace) for name in action.instances or []
            ]
            actions.append((handler, tuple(one for one in found if one is not None)))
        try:
            match = parse(spec.match) if (spec.match or "").strip() else None
        except ExpressionError as error:
            raise PolicyError(f"{each.full_name}: match: {error}") from None
        return Rule(each.namespace, match, tuple(actions))

    def _find[T](self, known: Mapping[str, T], name: str, namespace: str) -> T | None:
        return known.get(f"{name}.{namespace}") or known.get(name)

    def check(self, attributes: Mapping[str, Any]) -> Answer:
        """Judge a request by its attributes."""
        key = tuple(_frozen(attributes.get(name)) for name in (*self._read, *_SCOPE))
        until, kept = self._kept.get(key, (0.0, Answer()))
        if self._clock() < until:
            return kept
        answer, valid = self._judge(attributes)
        if valid > 0:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = self._clock() + valid, answer
        return answer

    def report(self, attributes: Mapping[str, Any], sink: Sink) -> None:
        """Hand a record's attributes to the handlers that take reports.

        An adapter that fails writes why into Mixer's log: one bad adapter stops nothing.
        """
        for rule in self._rules:
            if not _holds(rule, attributes):
                continue
            for handler, instances in rule.actions:
                for instance in instances if handler.reports else ():
                    _hand(handler, instance, attributes, sink)

    def _judge(self, attributes: Mapping[str, Any]) -> tuple[Answer, float]:
        valid = 60.0
        charges: Mapping[str, int] = {}  # quotas are charged in front of the service only
        if attributes.get("context.reporter.kind") != OUTBOUND:
            charges = self._charges.get(str(attributes.get("destination.service", "")), {})
        for rule in self._rules:
            if not _holds(rule, attributes):
                continue
            for handler, instances in rule.actions:
                for instance in instances if handler.checks else ():
                    verdict = _ask(handler, instance, attributes, charges)
                    if verdict is None:
                        continue
                    valid = min(valid, verdict.valid_seconds)
                    if verdict.code != OK:
                        return _refusal(handler, verdict), verdict.valid_seconds
        return Answer(), valid


def _ask(
    handler: Handler,
    instance: Instance,
    attributes: Mapping[str, Any],
    charges: Mapping[str, int],
) -> Verdict | None:
    try:
        values = {key: evaluate(node, attributes) for key, node in instance.values.items()}
    except AbsentError:
        return None
    if handler.quota:
        charge = charges.get(instance.name.partition(".")[0], 0)
        if not charge:
            return None
        values["charge"] = charge
    adapter = cast(CheckAdapter, handler.adapter)
    try:
        return adapter.check(instance.name, values)
    except Exception as error:  # the adapter is somebody else's code
        return Verdict(INTERNAL, f"{type(error).__name__}: {error}")


def _hand(handler: Handler, instance: Instance, attributes: Mapping[str, Any], sink: Sink) -> None:
    adapter = cast(ReportAdapter, handler.adapter)
    try:
        values = {key: evaluate(node, attributes) for key, node in instance.values.items()}
        adapter.report(instance.name, values, sink)
    except AbsentError:
        return
    except Exception as error:  # the adapter is somebody else's code
        sink.write(f"{handler.name}: {type(error).__name__}: {error}")


def _expressions(template: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return an instance's expressions by name; those of a map beside the others."""
    if template == "quota":
        return dict(params.get("dimensions") or {})
    if template == "metric":
        return {**(params.get("dimensions") or {}), "value": params.get("value", "0")}
    if template == "logentry":
        named = {key: params[key] for key in ("severity", "timestamp") if key in params}
        return {**named, **(params.get("variables") or {})}
    return dict(params)


def _refusal(handler: Handler, verdict: Verdict) -> Answer:
    from mesh.mixer.adapters import CODES

    name = CODES.get(verdict.code, CODES[2])[0]
    if handler.quota:
        return Answer(verdict.code, f"{name}:{verdict.message}")
    return Answer(verdict.code, f"{name}:{handler.name}:{verdict.message}")


def _holds(rule: Rule, attributes: Mapping[str, Any]) -> bool:
    outbound = attributes.get("context.reporter.kind") == OUTBOUND
    namespace = attributes.get("source.namespace" if outbound else "destination.namespace")
    if rule.namespace not in (namespace, ROOT_NAMESPACE):
        return False
    if rule.match is None:
        return True
    try:
        return evaluate(rule.match, attributes) is True
    except AbsentError:
        return False


def _aliases(each: Resource, generic: str) -> list[str]:
    """``name.kind.namespace``; handlers and instances of the newer form go by ``name.namespace``."""
    found = [f"{each.name}.{each.kind}.{each.namespace}"]
    if each.kind == generic:
        found.append(f"{each.name}.{each.namespace}")
    return found


def _charges(resources: list[Resource]) -> dict[str, dict[str, int]]:
    """Return host of a service -> name of a quota -> what a request costs."""
    specs: dict[Any, Any] = {
        (each.namespace, each.name): each.spec for each in resources if each.kind == "QuotaSpec"
    }
    found: dict[str, dict[str, int]] = {}
    for each in resources:
        if each.kind != "QuotaSpecBinding":
            continue
        binding: Any = each.spec
        for service in binding.services or []:
            namespace = service.namespace or each.namespace
            host = service.service or f"{service.name}.{namespace}.svc.cluster.local"
            costs = found.setdefault(host, {})
            for reference in binding.quota_specs or []:
                spec = specs.get((reference.namespace or each.namespace, reference.name))
                for rule in (spec.rules or []) if spec is not None else []:
                    if rule.match:
                        raise PolicyError(f"QuotaSpec {reference.name}: match is not executed here")
                    for quota in rule.quotas or []:
                        name = str(quota.quota).partition(".")[0]
                        costs[name] = costs.get(name, 0) + int(quota.charge or 1)
    return found


def _frozen(value: Any) -> Any:
    return tuple(sorted(value.items())) if isinstance(value, dict) else value
