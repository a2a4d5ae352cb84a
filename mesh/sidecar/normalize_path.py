r"""Path normalization: one spelling for a path, before any rule looks at it.

Istio switches it on for every listener (``normalize_path``): ``/a/../admin`` is ``/admin`` for
the VirtualService's match as for the application, else a rule could be walked around.  Dot
segments are resolved (also ``..;params``), ``\`` becomes ``/``, escapes of letters, digits and
``-._~`` are decoded, other signs that have no place in a path are escaped; ``//`` and ``%2F`` stay,
unless meshConfig's ``pathNormalization`` says MERGE_SLASHES (``merge_slashes``) or
DECODE_AND_MERGE_SLASHES (``path_with_escaped_slashes_action`` too).
A path with ``%00`` cannot be normalized: 400.
See it with ``meshctl curl --from POD 'http://backend:8080/a/../b'`` and ``meshctl logs POD``.

Source: Envoy ``source/common/http/path_utility.cc`` (canonicalPath, mergeSlashes, unescapeSlashes),
``conn_manager_utility.cc`` (maybeNormalizePath), observed with Envoy 1.40.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerPathWithEscapedSlashesAction,
)

from mesh.sidecar.errors import ConfigRefusedError

Rule = Callable[[bytes], bytes | None]
"""A path with its query -> the same path in another spelling; None for a wrong one."""
_PLAIN = re.compile(rb"(?:/(?!\.)[!$&'()*+,;=:@\[\]0-9A-Za-z._~-]*+)++")
"""Paths that are normal as they are: most of them."""
_MARK = 256
"""Added to the code of a decoded sign."""
_DIGIT = "0-9A-Fa-f"
_DECODED = "".join(chr(ord(sign) + _MARK) for sign in "0123456789ABCDEFabcdef")
_ESCAPES = re.compile(f"%([{_DIGIT}]{{2}})")
_NESTED = re.compile(f"%(?=[{_DIGIT}{_DECODED}][{_DECODED}]|[{_DECODED}][{_DIGIT}])")
_UNRESERVED = re.compile("[0-9A-Za-z._~-]")
_ODD = re.compile(rb"[\x00-\x20\"<>^`{|}\x7f-\xff]")
_SLASHES = re.compile(rb"%2[fF]|%5[cC]")
_SLASH = {b"%2f": b"/", b"%5c": b"\\"}
_PARAMETERS = re.compile(rb"(?<=/)(\.\.?);[^/]*")


def path_rules(config: HttpConnectionManager) -> tuple[Rule, ...]:
    """Return what a listener does to paths, in Envoy's order.  Raises ConfigRefusedError."""
    action = HttpConnectionManagerPathWithEscapedSlashesAction
    chosen = config.path_with_escaped_slashes_action or action.IMPLEMENTATION_SPECIFIC_DEFAULT
    rules: list[Rule] = []
    if chosen is action.UNESCAPE_AND_FORWARD:
        rules.append(unescape_slashes)
    elif chosen not in (action.IMPLEMENTATION_SPECIFIC_DEFAULT, action.KEEP_UNCHANGED):
        raise ConfigRefusedError(
            f"path_with_escaped_slashes_action {chosen.name} cannot be executed"
        )
    if config.normalize_path:
        rules.append(normalize_path)
    if config.merge_slashes:
        rules.append(merge_slashes)
    return tuple(rules)


def one_spelling(target: bytes, rules: tuple[Rule, ...]) -> bytes | None:
    """Apply rules one after another; None as soon as one cannot."""
    for rule in rules:
        changed = rule(target)
        if changed is None:
            return None
        target = changed
    return target


def unescape_slashes(target: bytes) -> bytes:
    """Decode ``%2F`` and ``%5C`` in the path of ``target``."""
    path, question, query = target.partition(b"?")
    return _SLASHES.sub(lambda found: _SLASH[found[0].lower()], path) + question + query


def merge_slashes(target: bytes) -> bytes:
    """Make one slash of several in the path of ``target``; a path of slashes alone becomes ``//``."""
    path, question, query = target.partition(b"?")
    if b"//" not in path:
        return target
    first = b"/" if path.startswith(b"/") else b""
    last = b"/" if path.endswith(b"/") else b""
    inner = b"/".join(filter(None, path.split(b"/")))
    return first + inner + last + question + query


def normalize_path(target: bytes) -> bytes | None:
    """Return ``target`` (a path, perhaps with a query) in its one spelling; None for a wrong one."""
    path, question, query = target.partition(b"?")
    if _PLAIN.fullmatch(path):
        return target
    path = _PARAMETERS.sub(rb"\1", path).replace(b"\\", b"/")
    if b"%00" in path:
        return None
    if b"%" in path:
        path = _decoded(path)
    path = _ODD.sub(lambda found: b"%%%02X" % found[0][0], path)
    return _resolve(path) + question + query


def _decoded(path: bytes) -> bytes:
    """Decode what needs no escape.

    A lone ``%`` that would become an escape together with what was decoded is written ``%25``:
    ``%%34%31`` must not turn into ``%41``.
    """
    text = _ESCAPES.sub(_mark, path.decode("latin-1"))
    text = _NESTED.sub("%25", text)
    return bytes(ord(sign) % _MARK for sign in text)


def _mark(escape: re.Match[str]) -> str:
    code = int(escape[1], 16)
    return chr(code + _MARK) if _UNRESERVED.fullmatch(chr(code)) else escape[0]


def _resolve(path: bytes) -> bytes:
    """Take ``.`` and ``..`` out; what ends with one of them ends with a slash."""
    segments = path.split(b"/")[1:]
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
