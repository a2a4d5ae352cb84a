"""AuthorizationPolicy: who may call what, decided in the sidecar of the service called.

CUSTOM and DENY are asked first; if any ALLOW policy selects the pod, one must match; no policy:
all may call.  ``spec: {}`` allows nothing, ``rules: [{}]`` matches everything.
Fields: istio/api ``security/v1beta1/authorization_policy.proto``.
Shown by ``meshctl describe pod POD``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mesh.istio.models.base import LabelSelector, Model, TargetRef


class Source(Model):
    """Who calls; lists are alternatives, the fields must all hold; ``abc*`` and ``*abc`` work."""

    principals: list[str] | None = None
    not_principals: list[str] | None = None
    request_principals: list[str] | None = None
    not_request_principals: list[str] | None = None
    namespaces: list[str] | None = None
    not_namespaces: list[str] | None = None
    service_accounts: list[str] | None = None
    not_service_accounts: list[str] | None = None
    trust_domains: list[str] | None = None
    not_trust_domains: list[str] | None = None
    ip_blocks: list[str] | None = None
    not_ip_blocks: list[str] | None = None
    remote_ip_blocks: list[str] | None = None
    not_remote_ip_blocks: list[str] | None = None


class From(Model):
    """One alternative of ``from``."""

    source: Source | None = None


class Operation(Model):
    """What is called; ports are strings."""

    hosts: list[str] | None = None
    not_hosts: list[str] | None = None
    ports: list[str] | None = None
    not_ports: list[str] | None = None
    methods: list[str] | None = None
    not_methods: list[str] | None = None
    paths: list[str] | None = None
    not_paths: list[str] | None = None


class To(Model):
    """One alternative of ``to``."""

    operation: Operation | None = None


class Condition(Model):
    """A further condition (``request.headers[x]``, ``source.namespace``, ...)."""

    key: str
    values: list[str] | None = None
    not_values: list[str] | None = None


class Rule(Model):
    """``from`` and ``to`` and ``when`` must all hold."""

    from_: list[From] | None = None
    to: list[To] | None = None
    when: list[Condition] | None = None


class ExtensionProvider(Model):
    """The external authorizer of CUSTOM."""

    name: str | None = None


class AuthorizationPolicy(Model):
    """``spec`` of an AuthorizationPolicy; ``action`` is ALLOW when missing."""

    selector: LabelSelector | None = None
    target_ref: TargetRef | None = None
    target_refs: list[TargetRef] | None = None
    rules: list[Rule] | None = None
    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"] | None = None
    provider: ExtensionProvider | None = None


DRY_RUN = "istio.io/dry-run"
_YES = frozenset(("1", "t", "T", "true", "TRUE", "True"))  # what Go's ParseBool takes for true


def on_trial(annotations: Mapping[str, str]) -> bool:
    """Tell whether a policy says what it would do and does nothing (``istio.io/dry-run``)."""
    return annotations.get(DRY_RUN) in _YES
