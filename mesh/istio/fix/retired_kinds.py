"""``kind: Policy`` (authentication, until Istio 1.5) in a later era: PeerAuthentication.

``peers: [{mtls: {}}]`` meant STRICT, ``mode: PERMISSIVE`` is the same word today; a target becomes
a selector on the label ``app``, as the lecture's pods have it.  What asks for tokens (origins)
has no one successor and stays, for ``meshctl analyze`` to explain.
Source: istio.io, "Change in security policies", release notes of 1.4 to 1.6.
"""

from __future__ import annotations

from mesh.istio.fix.draft import Draft, Edit, child, scalar
from mesh.istio.kinds import find_kind


def retired_kinds(draft: Draft) -> Edit | None:
    """Write a Policy about mTLS as the PeerAuthentication that does the same."""
    for document, root in draft.plain_documents:
        kind = find_kind(scalar(child(root, "apiVersion")), scalar(child(root, "kind")))
        if kind is None or kind.name not in ("Policy", "MeshPolicy") or kind.known_in(draft.era):
            continue
        spec = (root.plain().get("spec") if root.kind == "map" else None) or {}
        name = scalar(child(root, "metadata", "name"))
        if not isinstance(spec, dict) or not name or set(spec) - {"peers", "targets"}:
            continue
        peers, targets = spec.get("peers"), spec.get("targets") or []
        mode = _mode(peers)
        if not mode or not isinstance(targets, list) or len(targets) > 1:
            continue
        namespace = scalar(child(root, "metadata", "namespace"))
        namespace = "istio-system" if kind.name == "MeshPolicy" else namespace
        version = "v1" if draft.era.preferred_networking_version == "v1" else "v1beta1"
        new = [f"apiVersion: security.istio.io/{version}", "kind: PeerAuthentication", "metadata:"]
        new += [f"  name: {name}", *([f"  namespace: {namespace}"] if namespace else []), "spec:"]
        if targets:
            target = targets[0].get("name") if isinstance(targets[0], dict) else None
            if not isinstance(target, str) or set(targets[0]) != {"name"}:
                continue
            new += ["  selector:", "    matchLabels:", f"      app: {target}"]
        new += ["  mtls:", f"    mode: {mode}"]
        start, end = draft.span(document)
        while start < end and (draft.lines[start].blank or draft.lines[start].text[:3] == "---"):
            start += 1
        reason = f"{kind.name} ended with Istio 1.5; in {draft.era} PeerAuthentication says {mode}"
        return draft.replace(start, end, new, reason)
    return None


def _mode(peers: object) -> str:
    if not isinstance(peers, list) or len(peers) != 1 or not isinstance(peers[0], dict):
        return ""
    if set(peers[0]) != {"mtls"}:
        return ""
    mtls = peers[0]["mtls"] or {}
    if not isinstance(mtls, dict) or set(mtls) - {"mode"}:
        return ""
    return str(mtls.get("mode") or "STRICT")
