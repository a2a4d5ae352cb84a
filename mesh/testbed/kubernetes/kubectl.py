"""Kubectl: the one tool that reaches the cluster, and what its refusals mean.

Every call is a process; its standard error is the sentence for the user.  The context is the one
that ``kubectl config current-context`` names, as for every other command of the user.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mesh.testbed.client import TestbedError

TOOL = "kubectl"
PATIENCE = 60.0
"""Seconds for one call that does not wait for anything in the cluster."""


class KubectlError(TestbedError):
    """The cluster, or kubectl itself, refused; the text is what kubectl said."""


class NotOfferedError(TestbedError):
    """A question that no cluster answers to a visitor with kubectl; one sentence says which."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs ``kubectl``; with ``namespace`` in that one."""

    namespace: str = ""

    def within(self, namespace: str) -> Kubectl:
        """The same in another namespace."""
        return Kubectl(namespace)

    def command(self, *words: str) -> list[str]:
        """Return the whole command line of a call."""
        space = ["--namespace", self.namespace] if self.namespace else []
        return [TOOL, *space, *words]

    def run(self, *words: str, given: str | None = None, patience: float = PATIENCE) -> str:
        """Return what a call printed; ``given`` is its standard input.  KubectlError when it failed."""
        try:
            done = subprocess.run(
                self.command(*words),
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=True,
                text=True,
                timeout=patience,
                check=False,
            )
        except FileNotFoundError:
            raise KubectlError(missing_tool()) from None
        except subprocess.TimeoutExpired:
            raise KubectlError(
                f"`kubectl {words[0]}` got no answer within {patience:.0f} s"
            ) from None
        if done.returncode:
            raise KubectlError(said(done.stderr) or f"`kubectl {words[0]}` failed")
        return done.stdout

    def read(self, *words: str) -> dict[str, Any]:
        """Return the objects that ``kubectl get ... -o json`` prints."""
        text = self.run("get", *words, "-o", "json")
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            raise KubectlError(
                f"`kubectl get {' '.join(words)} -o json` printed no JSON: {text[:80]!r}"
            ) from None
        return found

    def items(self, *words: str) -> list[dict[str, Any]]:
        """Return the objects of a list."""
        return list(self.read(*words).get("items", ()))


def missing_tool() -> str:
    """The sentence for a machine without kubectl."""
    return (
        "there is no `kubectl` on the PATH: install it (https://kubernetes.io/docs/tasks/tools/), "
        "or leave RUNTIME=kubernetes away"
    )


def check(kubectl: Kubectl) -> str:
    """Return the context's name; TestbedError with the remedy when no cluster answers."""
    if shutil.which(TOOL) is None:
        raise KubectlError(missing_tool())
    try:
        context = kubectl.run("config", "current-context").strip()
    except KubectlError as problem:
        raise KubectlError(
            f"kubectl knows no cluster ({problem}): choose one with `kubectl config use-context NAME`"
        ) from None
    try:
        kubectl.run("version", "-o", "json", "--request-timeout=10s")
    except KubectlError as problem:
        raise KubectlError(
            f"the cluster of the context {context!r} does not answer ({problem}): start it, or "
            "choose another with `kubectl config use-context NAME`"
        ) from None
    return context


def said(stderr: str) -> str:
    """Return kubectl's complaint as one line, without its warnings."""
    lines: Sequence[str] = [line.strip() for line in stderr.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("Warning:"))
