"""What a lean import leaves out, each in a Python of its own: imports cannot be undone."""

from __future__ import annotations

import subprocess
import sys

import pytest


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("module", "left_out"),
    [("mesh.pilot.main", "grpc"), ("mesh.sidecar.main", "mitmproxy.addons.proxyauth")],
)
def test_what_nobody_uses_is_not_imported(module: str, left_out: str) -> None:
    lean = (
        "import sys, importlib; from mesh import lean; lean.import_xds();"
        f"lean.prepare({module!r}); importlib.import_module({module!r});"
        f"print({left_out!r} in sys.modules)"
    )
    assert python(lean) == "False"
    whole = f"import sys, importlib; importlib.import_module({module!r}); print({left_out!r} in sys.modules)"
    assert python(whole) == "True", "the libraries have changed: the lean import may go"


def test_the_real_ones_can_be_imported_afterwards() -> None:
    assert (
        python(
            "from mesh import lean; lean.import_xds(); lean.import_mitmproxy();"
            "import grpc; from mitmproxy import addons;"
            "print(grpc.Channel.__module__, len(addons.default_addons()) > 20)"
        )
        == "grpc True"
    )


@pytest.mark.parametrize("module", ["mesh.pilot.main", "mesh.sidecar.main"])
def test_no_message_is_a_pydantic_dataclass(module: str) -> None:
    """Every module of messages that a process of the mesh imports is in ``XDS``."""
    slow = (
        "from betterproto2 import Message; from pydantic.dataclasses import is_pydantic_dataclass;"
        "kinds = {kind for base in Message.__subclasses__() for kind in (base, *base.__subclasses__())};"
        "print(len(kinds) > 500, sorted(str(k) for k in kinds if is_pydantic_dataclass(k)))"
    )
    code = (
        "import importlib; from mesh import lean;"
        f"lean.prepare({module!r}); importlib.import_module({module!r});" + slow
    )
    assert python(code) == "True []"
    whole = f"import importlib; importlib.import_module({module!r});" + slow
    assert python(whole).startswith('True ["<class'), "the library has changed: this may go"


def test_pydantic_is_itself_again() -> None:
    assert (
        python(
            "from mesh import lean; lean.import_xds(); import pydantic.dataclasses as p;"
            "print(p.dataclass.__module__, p.is_pydantic_dataclass(p.dataclass(type('A', (), {}))))"
        )
        == "pydantic.dataclasses True"
    )


def test_a_module_that_is_there_stays() -> None:
    assert (
        python(
            "import sys, grpc; from mesh import lean; lean.import_xds();"
            "print(sys.modules['grpc'] is grpc)"
        )
        == "True"
    )
