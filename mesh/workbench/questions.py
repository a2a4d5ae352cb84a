"""Questions: the requests by which a change of routing is seen.

An engineer who changes a VirtualService asks: which requests are answered otherwise now?  Every
block of a ``match`` names one kind of request, so one request is written for each block, and one
without anything special for each service; what a regular expression wants is for the engineer
to write down (``--requests FILE``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mesh.istio.models.base import Model
from mesh.istio.models.virtual_service import HTTPMatchRequest, VirtualService
from mesh.istio.resource import Resource
from mesh.topology import DOMAIN_SUFFIX, Service, Topology

MESH = "mesh"


class QuestionError(ValueError):
    """A file of requests cannot be read; one sentence says where and what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request: ``url`` is a path at the gateway, or a URL asked from the workload ``source``."""

    url: str
    source: str = ""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        words = [self.source or "gateway", self.method, self.url]
        return " ".join([*words, *(f"{name}={value}" for name, value in self.headers)])


@dataclass(slots=True)
class Questions:
    """Requests in order, each once, and what could not be asked."""

    asked: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, question: Question) -> None:
        """Take a question that is not there yet."""
        if question not in self.asked:
            self.asked.append(question)


def read_questions(raw: object, where: str) -> list[Question]:
    """Read a list of requests: a path, or ``{url, from, method, headers}``."""
    if not isinstance(raw, list):
        raise QuestionError(f"{where}: a list of requests is needed, for instance `- /customer`")
    found = []
    for number, each in enumerate(raw, 1):
        place = f"{where}: request {number}"
        item = {"url": each} if isinstance(each, str) else each
        if not isinstance(item, Mapping) or not isinstance(item.get("url"), str):
            raise QuestionError(f"{place}: write a path, or a mapping with `url:`, not {each!r}")
        unknown = sorted(set(item) - {"url", "from", "method", "headers"})
        if unknown:
            raise QuestionError(
                f"{place}: no key {unknown[0]!r}: there are url, from, method, headers"
            )
        headers = item.get("headers") or {}
        if not isinstance(headers, Mapping):
            raise QuestionError(
                f"{place}: headers are a mapping of names to values, not {headers!r}"
            )
        pairs = tuple((str(name).lower(), str(value)) for name, value in headers.items())
        source, method = str(item.get("from") or ""), str(item.get("method") or "GET")
        if not item["url"].startswith("/") and not source:
            raise QuestionError(f"{place}: say who asks for {item['url']!r} with `from: WORKLOAD`")
        found.append(Question(item["url"], source, method.upper(), pairs))
    return found


def questions_of(resources: list[Resource], topology: Topology) -> Questions:
    """Write a request for each service, and one for each block of each match."""
    found = Questions()
    workloads = [(each, service) for service in topology.services for each in service.workloads]
    for service in topology.services:
        others = [each.name for each, owner in workloads if owner is not service and each.injected]
        source = (others or [each.name for each, _ in workloads] or [""])[0]
        for port in service.ports:
            if port.protocol.startswith(("http", "grpc")) and port.protocol != "https":
                found.add(Question(f"http://{_short(service, topology)}:{port.number}/", source))
    for resource in resources:
        if isinstance(resource.spec, VirtualService):
            _of_virtual_service(resource, resource.spec, topology, found)
    return found


def _short(service: Service, topology: Topology) -> str:
    same = service.namespace == topology.namespace
    return service.name if same else f"{service.name}.{service.namespace}"


def _of_virtual_service(
    resource: Resource, spec: VirtualService, topology: Topology, found: Questions
) -> None:
    for index, route in enumerate(spec.http or ()):
        for number, match in enumerate(route.match or [HTTPMatchRequest()]):
            place = resource.position(f"spec.http[{index}].match[{number}]")
            hidden = [name for name, _ in _regexes(match)]
            if hidden:
                found.notes.append(
                    f"{place}: what fits the regular expression of {', '.join(hidden)} cannot be "
                    "guessed; write such a request in --requests"
                )
                continue
            gateways = match.gateways or spec.gateways or [MESH]
            if MESH in gateways and topology.services:
                for host in (spec.hosts or ())[:1]:
                    _in_mesh(resource, host, match, topology, found)
            if set(gateways) - {MESH} and topology.gateway:
                host = (spec.hosts or ["*"])[0]
                own = () if host.startswith("*") else (("host", host),)
                found.add(Question(_path(match), "", _method(match), _headers(match, own)))


def _in_mesh(
    resource: Resource, host: str, match: HTTPMatchRequest, topology: Topology, found: Questions
) -> None:
    full = host if "." in host else f"{host}.{resource.namespace}.svc.{DOMAIN_SUFFIX}"
    service = next((each for each in topology.services if each.hostname == full), None)
    port = match.port or (service.ports[0].number if service else 80)
    wanted = dict(match.source_labels or {})
    for owner in topology.services:
        for each in owner.workloads:
            labels = {"app": owner.name, "version": each.version, **each.labels}
            fits = wanted.items() <= labels.items() and each.injected
            if match.source_namespace and owner.namespace != match.source_namespace:
                fits = False
            if fits and (owner is not service or wanted or len(topology.services) == 1):
                url = f"http://{host}:{port}{_path(match)}"
                found.add(Question(url, each.name, _method(match), _headers(match)))
                return
    found.notes.append(f"{resource.position()}: no workload fits the source of {host}'s match")


def _regexes(match: HTTPMatchRequest) -> Iterator[tuple[str, str]]:
    for name, value in _strings(match):
        if "regex" in value and value["regex"] not in (".*", ".+", "*"):
            yield name, str(value["regex"])


def _strings(match: HTTPMatchRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("uri", "method", "authority", "scheme"):
        value = getattr(match, name)
        if isinstance(value, Model):
            yield name, value.to_json()
    for group in ("headers", "query_params"):
        for name, value in (getattr(match, group) or {}).items():
            yield name, value.to_json()


def _word(value: Model | None) -> str:
    """Return a text that fits a StringMatch; an empty one wants the header to be there."""
    plain = value.to_json() if value is not None else {}
    return str(plain.get("exact") or plain.get("prefix") or "x")


def _path(match: HTTPMatchRequest) -> str:
    path = "/" if match.uri is None or "regex" in match.uri.to_json() else _word(match.uri)
    path = path if path.startswith("/") else f"/{path}"
    query = "&".join(
        f"{quote(name)}={quote(_word(value))}" for name, value in (match.query_params or {}).items()
    )
    return f"{path}?{query}" if query else path


def _method(match: HTTPMatchRequest) -> str:
    return "GET" if match.method is None else _word(match.method)


def _headers(
    match: HTTPMatchRequest, own: tuple[tuple[str, str], ...] = ()
) -> tuple[tuple[str, str], ...]:
    named = tuple((name.lower(), _word(value)) for name, value in (match.headers or {}).items())
    if match.authority is not None and not own:
        own = (("host", _word(match.authority)),)
    return (*own, *named)
