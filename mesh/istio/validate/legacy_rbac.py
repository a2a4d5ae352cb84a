"""The rules of ServiceRole, ServiceRoleBinding and ClusterRbacConfig.

Source: istio/istio 1.4.0 ``pkg/config/validation/validation.go`` ValidateServiceRole,
ValidateServiceRoleBinding, ValidateClusterRbacConfig.
"""

from __future__ import annotations

from mesh.istio.models.legacy_rbac import RbacConfig, ServiceRole, ServiceRoleBinding
from mesh.istio.validate.findings import Findings, Steps


def check_service_role(spec: ServiceRole, found: Findings) -> None:
    """Check a ServiceRole."""
    if not spec.rules:
        found.error(("spec",), "at least 1 rule must be specified", expected="rules")
    for index, rule in enumerate(spec.rules or []):
        path: Steps = ("spec", "rules", index)
        if not rule.services:
            text = f"at least 1 service must be specified for rule {index}"
            found.error((*path, "services"), text, 'Write `services: ["*"]` for all.')
        for number, constraint in enumerate(rule.constraints or []):
            here: Steps = (*path, "constraints", number)
            if not constraint.key:
                found.error(here, f"key cannot be empty for constraint {number} in rule {index}")
            if not constraint.values:
                text = f"at least 1 value must be specified for constraint {number} in rule {index}"
                found.error(here, text)


def check_service_role_binding(spec: ServiceRoleBinding, found: Findings) -> None:
    """Check a ServiceRoleBinding."""
    if not spec.subjects:
        found.error(("spec",), "at least 1 subject must be specified", expected="subjects")
    for index, subject in enumerate(spec.subjects or []):
        if not subject.model_fields_set:
            text = f"empty subject(s) are not allowed. Found an empty subject at index {index}"
            found.error(("spec", "subjects", index), text)
    role = spec.role_ref
    if role is None:
        if not spec.role:
            found.error(("spec",), "`roleRef` must be specified", expected="roleRef")
        return
    if role.kind != "ServiceRole":
        text = f'kind set to "{role.kind or ""}", but only supports "ServiceRole"'
        found.error(("spec", "roleRef", "kind"), text, expected="ServiceRole")
    if not role.name:
        found.error(("spec", "roleRef", "name"), "name cannot be empty")


def check_rbac_config(spec: RbacConfig, found: Findings) -> None:
    """Check a ClusterRbacConfig or RbacConfig."""
    kind, name = found.resource.kind, found.resource.name
    if name != "default":
        text = f'{kind} has invalid name({name}), name must be "default"'
        found.error(("metadata", "name"), text, expected="default")
    for mode, field, value in (
        ("ON_WITH_INCLUSION", "inclusion", spec.inclusion),
        ("ON_WITH_EXCLUSION", "exclusion", spec.exclusion),
    ):
        if spec.mode == mode and value is None:
            found.error(("spec", field), f"{field} cannot be null for mode {mode}")
