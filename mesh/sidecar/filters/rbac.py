"""Role-based access control: whether this caller may call this.

In a real mesh AuthorizationPolicies (or, until 1.5, ServiceRoles) become this filter in the sidecar of
the service called.  With the action ALLOW a policy has to match, with DENY none may; LOG only
notes.  Shadow rules only leave a note: of policies on trial (``istio.io/dry-run``), and the one by
which external authorization knows whether to ask.
Of several that match the first by name is named.  Refused: 403, body
``RBAC: access denied``, details ``rbac_access_denied_matched_policy[ns[...]-policy[...]-rule[0]]``
(``[none]``: no ALLOW policy matched).
See it with ``meshctl logs POD`` and ``meshctl explain REQUEST``.

Source: Envoy ``source/extensions/filters/http/rbac/rbac_filter.cc``,
``.../common/rbac/engine_impl.cc``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from envoy_data_plane.envoy.config.rbac.v3 import Rbac, RbacAction
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac as RbacConfig
from mitmproxy.http import HTTPFlow

from mesh.sidecar.filters import FilterContext
from mesh.sidecar.filters.match import note_route
from mesh.sidecar.filters.rbac_facts import RequestFacts, facts_of
from mesh.sidecar.filters.rbac_matchers import Test, compile_policy
from mesh.sidecar.local_reply import local_reply
from mesh.sidecar.stream_info import stream_info

NAME = "envoy.filters.http.rbac"
"""Under which the notes of shadow rules stand, whatever the filter is called in the listener."""
BODY = b"RBAC: access denied"
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the request may pass, and the policy that matched (``""``: none)."""

    allowed: bool
    policy: str = ""

    @property
    def details(self) -> str:
        """The response code details of a refusal."""
        name = _SPACE.sub("_", self.policy) or "none"
        return f"rbac_access_denied_matched_policy[{name}]"


class Engine:
    """Compiled policies with their action."""

    def __init__(self, rules: Rbac) -> None:
        """Compile ``rules``; ValueError for what cannot be executed."""
        self.action = rules.action
        self._policies: list[tuple[str, Test]] = []
        for name in sorted(rules.policies):
            try:
                self._policies.append((name, compile_policy(rules.policies[name])))
            except ValueError as error:
                raise ValueError(f"policy {name!r}: {error}") from None

    def decide(self, facts: RequestFacts) -> Decision:
        """Decide about one request."""
        policy = next((name for name, test in self._policies if test(facts)), "")
        if self.action == RbacAction.LOG:
            return Decision(True, policy)
        return Decision(bool(policy) is (self.action == RbacAction.ALLOW), policy)


class RbacFilter:
    """The filter ``envoy.filters.http.rbac``."""

    def __init__(self, config: RbacConfig, context: FilterContext, name: str) -> None:
        """Compile ``config``; ValueError for what cannot be executed."""
        if config.matcher is not None or config.shadow_matcher is not None:
            raise ValueError("rbac: matcher trees cannot be executed")
        self._engine = Engine(config.rules) if config.rules is not None else None
        self._shadow = Engine(config.shadow_rules) if config.shadow_rules is not None else None
        self._context, self._stats = context, context.stats
        prefix = f"{context.stat_prefix}rbac."
        self._prefix = prefix + _dotted(config.rules_stat_prefix)
        self._shadow_prefix = prefix + _dotted(config.shadow_rules_stat_prefix)
        self._shadow_note = config.shadow_rules_stat_prefix
        self._name = name

    def request(self, flow: HTTPFlow) -> None:
        """Answer 403 to a request that may not pass."""
        info = stream_info(flow)
        facts = facts_of(flow, info)
        if self._shadow is not None:
            shadow = self._shadow.decide(facts)
            word = "allowed" if shadow.allowed else "denied"
            self._stats.inc(f"{self._shadow_prefix}shadow_{word}")
            noted = info.metadata.setdefault(NAME, {})
            noted[f"{self._shadow_note}shadow_engine_result"] = word
            if shadow.policy:
                noted[f"{self._shadow_note}shadow_effective_policy_id"] = shadow.policy
            info.explain(
                "rbac", shadow=self._shadow_note, allowed=shadow.allowed, policy=shadow.policy
            )
        if self._engine is None:
            return
        decision = self._engine.decide(facts)
        action = RbacAction(self._engine.action).name
        info.explain("rbac", action=action, allowed=decision.allowed, policy=decision.policy)
        if self._engine.action == RbacAction.LOG:
            word = "logged" if decision.policy else "not_logged"
            self._stats.inc(self._prefix + word)
            common = info.metadata.setdefault("envoy.common", {})
            common["access_log_hint"] = bool(decision.policy)
        if decision.allowed:
            self._stats.inc(self._prefix + "allowed")
            return
        self._stats.inc(self._prefix + "denied")
        note_route(flow, info, self._context)
        local_reply(flow, info, 403, BODY, decision.details)


def _dotted(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith((".", "_")) else prefix + "."
