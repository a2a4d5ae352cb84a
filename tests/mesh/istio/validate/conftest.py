"""What the tests of the rules share: a spec in, the texts of the problems out."""

from collections.abc import Callable

import pytest

from mesh.istio import Problem, era, load_text, validate
from mesh.istio.kinds import kinds_named

type Check = Callable[..., list[Problem]]


@pytest.fixture
def check() -> Check:
    """Return ``check(kind, spec, era, name)``: what the rules say about a spec (YAML text)."""

    def run(kind: str, spec: str, release: str = "istio-current", name: str = "r") -> list[Problem]:
        which = era(release)
        found = next(each for each in kinds_named(kind) if each.known_in(which))
        text = (
            f"apiVersion: {found.api_version(which)}\nkind: {kind}\n"
            f"metadata: {{name: {name}, namespace: tutorial}}\nspec:\n"
        ) + "\n".join(f"  {line}" for line in spec.strip("\n").splitlines())
        loaded = load_text(text, "f.yaml", era=which)
        assert loaded.problems == []
        return validate(loaded.resources, which)

    return run
