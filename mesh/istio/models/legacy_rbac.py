"""ServiceRole, ServiceRoleBinding, ClusterRbacConfig: authorization until Istio 1.5.

A role says what may be called, a binding who holds the role, and the config whether any of it is
in force (``ON``: all is denied that no role allows).  AuthorizationPolicy replaced all three.
Fields: istio/api 1.4.0 ``rbac/v1alpha1/rbac.proto``; 0.8 had them in ``config.istio.io/v1alpha2``.
"""

from __future__ import annotations

from typing import Literal

from mesh.istio.models.base import Int32, Model, StringMap

Enforcement = Literal["ENFORCED", "PERMISSIVE"]


class Constraint(Model):
    """A further condition."""

    key: str | None = None
    values: list[str] | None = None


class AccessRule(Model):
    """What may be called; exact, ``prefix*``, ``*suffix`` or ``*``."""

    services: list[str]
    hosts: list[str] | None = None
    not_hosts: list[str] | None = None
    paths: list[str] | None = None
    not_paths: list[str] | None = None
    methods: list[str] | None = None
    not_methods: list[str] | None = None
    ports: list[Int32] | None = None
    not_ports: list[Int32] | None = None
    constraints: list[Constraint] | None = None


class ServiceRole(Model):
    """``spec`` of a ServiceRole."""

    rules: list[AccessRule] | None = None


class Subject(Model):
    """Who holds the role: all fields must hold."""

    user: str | None = None
    group: str | None = None
    properties: StringMap | None = None
    names: list[str] | None = None
    not_names: list[str] | None = None
    groups: list[str] | None = None
    not_groups: list[str] | None = None
    namespaces: list[str] | None = None
    not_namespaces: list[str] | None = None
    ips: list[str] | None = None
    not_ips: list[str] | None = None


class RoleRef(Model):
    """The role, of the same namespace."""

    kind: str | None = None
    name: str | None = None


class ServiceRoleBinding(Model):
    """``spec`` of a ServiceRoleBinding; PERMISSIVE only logs."""

    subjects: list[Subject] | None = None
    role_ref: RoleRef | None = None
    role: str | None = None
    mode: Enforcement | None = None


class RbacTarget(Model):
    """Services and namespaces."""

    services: list[str] | None = None
    namespaces: list[str] | None = None
    workload_selectors: list[StringMap] | None = None


class RbacConfig(Model):
    """``spec`` of a ClusterRbacConfig (or RbacConfig) ``default``."""

    mode: Literal["OFF", "ON", "ON_WITH_INCLUSION", "ON_WITH_EXCLUSION"] | None = None
    inclusion: RbacTarget | None = None
    exclusion: RbacTarget | None = None
    enforcement_mode: Enforcement | None = None
