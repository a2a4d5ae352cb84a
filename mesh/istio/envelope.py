"""What stands around a ``spec``: kind, apiVersion, the name, and fields at the wrong level.

An API server looks at these first and answers ``no matches for kind "virtualService" in version
"..."``; here the answer names the word that was meant.  When the kind can be guessed the rest of
the document is checked all the same, so that one run shows everything.
"""

from __future__ import annotations

import re

from pydantic import BaseModel

from mesh.istio.eras import Era
from mesh.istio.kinds import KINDS, Kind, find_kind, kinds_named
from mesh.istio.models.base import fields_of
from mesh.istio.nearest import nearest
from mesh.istio.problem import Level, Position, Problem, Room
from mesh.istio.resource import Source, show
from mesh.istio.schema import SCHEMA, check, schema_error

KIND = "KIT0004"
API_VERSION = "KIT0005"
ERA = "KIT0006"

RBAC = "rbac.authorization.k8s.io"
_NO_PATH = re.compile(r"[/%]|^\.\.?\Z")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")


def word(source: Source, key: str) -> str:
    """Return a word at the top of a document, empty when it is missing or no word."""
    value = source.value(key)
    return value if isinstance(value, str) else ""


def kind_of(source: Source, era: Era, problems: list[Problem]) -> tuple[Kind | None, bool]:
    """Return the kind, and whether the document states it properly (else it is a guess)."""
    name, api_version = word(source, "kind"), word(source, "apiVersion")
    kind = find_kind(api_version, name)
    if kind is not None:
        if not kind.known_in(era):
            problems.append(_not_in_era(kind, api_version, source, era))
            return kind, False
        return kind, True
    guesses = kinds_named(name)
    if not guesses:
        guess = _nearest_kind(name)
        problems.append(_unknown_kind(name, api_version, guess, source, era))
        guesses = kinds_named(guess)
        if not guesses:
            return None, False
        if not api_version:
            problems.append(_no_api_version(guesses[0], source, era))
        return _same_group(guesses, api_version), False
    kind = _same_group(guesses, api_version)
    if not api_version:
        problems.append(_no_api_version(kind, source, era))
    else:
        right = kind.api_version(era)
        problems.append(
            Problem(
                API_VERSION,
                Level.ERROR,
                f'no matches for kind "{show(name)}" in version "{show(api_version)}"',
                source.position("apiVersion"),
                "apiVersion",
                read=show(api_version),
                expected=" | ".join(_versions(guesses)),
                nearest=right,
                hint=f"Write `apiVersion: {right}`.",
            )
        )
    return kind, False


def _versions(kinds: list[Kind]) -> list[str]:
    return [f"{k.group}/{v}" if k.group else v for k in kinds for v in k.versions]


def _same_group(kinds: list[Kind], api_version: str) -> Kind:
    group = api_version.rpartition("/")[0]
    return next((kind for kind in kinds if kind.group == group), kinds[0])


def _nearest_kind(name: str) -> str:
    folded = {kind.name.lower(): kind.name for kind in reversed(KINDS)}
    bare = name.lower().replace("-", "").replace("_", "")[:80]
    return folded.get(nearest(bare, folded, cutoff=0.8), "")


def _unknown_kind(name: str, api_version: str, guess: str, source: Source, era: Era) -> Problem:
    known = [kind.name for kind in KINDS if kind.read and kind.known_in(era)]
    if not name:
        message = "kind: Required value"
        hint = "Say what this is, for instance `kind: VirtualService`."
        if source.value("kind") is None and source.node("kind") is None and not api_version:
            hint += " Is this a part of a larger document?"
    else:
        where = f' in version "{show(api_version)}"' if api_version else ""
        message = f'no matches for kind "{show(name)}"{where}'
        hint = (
            f"Write `kind: {guess}`: capitals count." if guess else "See `expected` for the kinds."
        )
    return Problem(
        KIND,
        Level.ERROR,
        message,
        source.position("kind"),
        "kind",
        read=show(name),
        expected=", ".join(dict.fromkeys(known)),
        nearest=guess,
        hint=hint,
    )


def _no_api_version(kind: Kind, source: Source, era: Era) -> Problem:
    right = kind.api_version(era)
    return Problem(
        API_VERSION,
        Level.ERROR,
        "apiVersion: Required value",
        source.position("kind"),
        "apiVersion",
        expected=right,
        nearest=right,
        hint=f"Add `apiVersion: {right}` at the top.",
    )


_SUCCESSORS = {
    "Policy": "PeerAuthentication",
    "MeshPolicy": "PeerAuthentication",
    "ServiceRole": "AuthorizationPolicy",
    "ServiceRoleBinding": "AuthorizationPolicy",
    "ClusterRbacConfig": "AuthorizationPolicy",
}
"""What took the place of the kinds that went with Istio 1.6."""


def _not_in_era(kind: Kind, api_version: str, source: Source, era: Era) -> Problem:
    if kind.until is not None and era.release > kind.until:
        why = f"Istio knew it until {kind.until[0]}.{kind.until[1]}"
    else:
        why = f"Istio knows it since {kind.since[0]}.{kind.since[1]}"
    successor = _SUCCESSORS.get(kind.name, "") if kind.until else ""
    instead = (
        f"write {successor} instead" if successor else "take the resource that this one offers"
    )
    return Problem(
        ERA,
        Level.ERROR,
        f'no matches for kind "{kind.name}" in version "{api_version}" ({era})',
        source.position("kind"),
        "kind",
        read=kind.name,
        expected=successor,
        hint=f"{why}; {instead}, or choose another era.",
    )


def name_problems(kind: Kind, source: Source) -> list[Problem]:
    """Check ``metadata.name``: there, and a name that DNS allows (RFC 1123 subdomain)."""
    name = source.value("metadata.name")
    if name is None:
        if source.node("metadata.generateName"):
            return []
        text, hint = "metadata.name: Required value", "Give the object a name below `metadata:`."
        place: Position = source.position("metadata")
        return [Problem(SCHEMA, Level.ERROR, schema_error(text), place, "metadata.name", hint=hint)]
    if not isinstance(name, str) or _NAME.match(name):
        return []
    if kind.group == RBAC and not _NO_PATH.search(name):
        return []  # `metallb-system:controller`: these names are parts of a path, no DNS names
    text = (
        f'metadata.name: Invalid value: "{show(name)}": a lowercase RFC 1123 subdomain must consist '
        "of lower case alphanumeric characters, '-' or '.', and must start and end with an "
        "alphanumeric character"
    )
    better = re.sub(r"[^a-z0-9.-]+", "-", re.sub(r"([a-z])([A-Z])", r"\1-\2", name).lower())
    better = better.strip("-.")[:253]
    return [
        Problem(
            SCHEMA,
            Level.ERROR,
            schema_error(text),
            source.position("metadata.name"),
            "metadata.name",
            read=show(name),
            expected="lower case letters, digits, - and .",
            nearest=better,
            hint=f"Write `name: {better}`." if better else "Choose a name in lower case.",
        )
    ]


def spec_of(
    kind: Kind, source: Source, owner: str, room: Room
) -> tuple[BaseModel | None, list[Problem]]:
    """Read the spec (or, for kinds without one, the object) into its model."""
    data = source.root.plain()
    rest = {key: value for key, value in data.items() if key not in _TOP}
    if kind.whole:
        return check(kind.model, rest, source, (), owner, room)
    told = list(rest)[: room.take(len(rest))]
    problems = [_misplaced(key, kind, source) for key in told]
    body = {} if data.get("spec") is None else data["spec"]
    spec, found = check(kind.model, body, source, ("spec",), owner, room)
    return (None if rest else spec), problems + found


def _misplaced(key: str, kind: Kind, source: Source) -> Problem:
    near = nearest(key, _TOP)
    hint = f"An object has {', '.join(_TOP[:4])} at this level."
    if near:
        hint = f"Did you mean `{near}`?"
    if key in fields_of(kind.model):
        hint = f"`{key}` belongs below `spec:`; indent it."
    return Problem(
        SCHEMA,
        Level.ERROR,
        schema_error(f'unknown field "{show(key)}"'),
        source.position((key,)),
        key,
        read=show(key),
        expected=", ".join(_TOP[:4]),
        nearest=near,
        hint=hint,
    )
