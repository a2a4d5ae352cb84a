"""An API server for the tests: what ``fake_kubectl.py`` asks, answered in kubectl's own words.

Objects go to standard output, complaints to standard error, then comes the exit code.  Of a cluster's
objects it keeps ConfigMaps only, with the versions by which kubectl notices that somebody was faster.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar, Self, TextIO

import yaml

PROGRAM = Path(__file__).with_name("fake_kubectl.py")


class Refusal(Exception):  # noqa: N818  what kubectl says
    """Ends a command with exit code 1."""


class Call:
    """One call of kubectl."""

    def __init__(
        self,
        api: Any,
        client: socket.socket,
        words: list[str],
        source: TextIO,
        out: TextIO,
        err: TextIO,
    ) -> None:
        self.api = api
        self.client = client
        self.source, self.out, self.err = source, out, err
        self.namespace = "default"
        if words[:1] == ["--namespace"]:
            self.namespace, words = words[1], words[2:]
        self.verb, self.words = words[0], words[1:]

    def run(self) -> int:
        """Do it; returns the exit code."""
        handler = getattr(self, f"do_{self.verb}", None)
        if handler is None:
            raise Refusal(f'error: unknown command "{self.verb}" for "kubectl"')
        return handler() or 0

    def option(self, name: str) -> str:
        """Take the value of an option out of the words."""
        if name in self.words:
            index = self.words.index(name)
            value = self.words[index + 1]
            del self.words[index : index + 2]
            return value
        return ""

    def flag(self, name: str) -> bool:
        if name in self.words:
            self.words.remove(name)
            return True
        return False

    def print(self, *lines: str) -> None:
        for line in lines:
            print(line, file=self.out)
        self.out.flush()

    def do_config(self) -> None:
        self.print("kind-mesh")

    def do_version(self) -> None:
        version = {"major": "1", "minor": "31", "gitVersion": "v1.31.2"}
        found = {"clientVersion": version, "kustomizeVersion": "v5.4.2", "serverVersion": version}
        self.print(json.dumps(found, indent=2))

    def document(self) -> dict[str, Any]:
        """The one ConfigMap of the standard input."""
        assert self.option("-f") == "-"
        found: dict[str, Any] = yaml.safe_load(self.source.read())
        assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")
        return found

    def do_create(self) -> None:
        assert self.option("-o") == "json"
        found = self.document()
        name = found["metadata"]["name"]
        with self.api.writing:
            if (self.namespace, name) in self.api.config_maps:
                raise Refusal(
                    'Error from server (AlreadyExists): error when creating "STDIN": '
                    f'configmaps "{name}" already exists'
                )
            self.print(json.dumps(self.api.stored(self.namespace, found)))

    def do_replace(self) -> None:
        assert self.option("-o") == "json"
        found = self.document()
        name = found["metadata"]["name"]
        with self.api.writing:
            version = self.config_map(name)["metadata"]["resourceVersion"]
            if found["metadata"].get("resourceVersion", version) != version:
                raise Refusal(
                    'Error from server (Conflict): error when replacing "STDIN": Operation cannot '
                    f'be fulfilled on configmaps "{name}": the object has been modified; please '
                    "apply your changes to the latest version and try again"
                )
            self.print(json.dumps(self.api.stored(self.namespace, found)))

    def do_get(self) -> None:
        """Only of ConfigMaps."""
        assert self.option("-o") == "json"
        silent = self.flag("--ignore-not-found")
        kind, name = self.words
        assert kind == "configmap"
        if not (silent and (self.namespace, name) not in self.api.config_maps):
            self.print(json.dumps(self.config_map(name)))

    def do_delete(self) -> None:
        """Only of ConfigMaps."""
        silent = self.flag("--ignore-not-found")
        kind, name = self.words
        assert kind == "configmap"
        if not (silent and (self.namespace, name) not in self.api.config_maps):
            self.config_map(name)
            del self.api.config_maps[self.namespace, name]
            self.print(f'configmap "{name}" deleted')

    def config_map(self, name: str) -> dict[str, Any]:
        """A stored ConfigMap."""
        try:
            found: dict[str, Any] = self.api.config_maps[self.namespace, name]
        except KeyError:
            told = f'configmaps "{name}" not found'
            raise Refusal(f"Error from server (NotFound): {told}") from None
        return found


class FakeApi:
    """The server; ``folder`` gets the socket and ``bin/kubectl``."""

    call: ClassVar[type[Call]] = Call

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.said: list[list[str]] = []
        """Every command so far."""
        self.config_maps: dict[tuple[str, str], dict[str, Any]] = {}
        """By namespace and name."""
        self.writing = threading.Lock()
        self._versions = 0

    def __enter__(self) -> Self:
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(self.folder / "api"))
        self._server.listen(64)
        program = self.folder / "bin" / "kubectl"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nFAKE_CLUSTER={shlex.quote(str(self.folder / 'api'))} "
            f'exec {shlex.quote(sys.executable)} -S -E {shlex.quote(str(PROGRAM))} "$@"\n'
        )
        program.chmod(0o755)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._accepting.join()

    @property
    def path(self) -> str:
        """A PATH on which ``kubectl`` is this cluster's."""
        return f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head, fds, _, _ = socket.recv_fds(client, 4, 3)
        if len(fds) < 3:
            return
        words = json.loads(_exactly(client, int.from_bytes(head, "big")))
        self.said.append(words)
        source, out, err = (
            os.fdopen(fds[0], "r", encoding="utf-8"),
            os.fdopen(fds[1], "w", encoding="utf-8"),
            os.fdopen(fds[2], "w", encoding="utf-8"),
        )
        with client, source, out, err:
            try:
                code = self.call(self, client, words, source, out, err).run()
                out.flush()
            except Refusal as refusal:
                print(refusal, file=err, flush=True)
                code = 1
            except BrokenPipeError:
                code = 1
            except Exception as fault:
                self.faults.append(f"{words}: {fault!r}")
                raise
            try:
                client.sendall(bytes([code]))
            except OSError:
                return

    def stored(self, namespace: str, document: dict[str, Any]) -> dict[str, Any]:
        """Keep a ConfigMap under a new version; returns it as the API server does."""
        self._versions += 1
        metadata = {**document["metadata"], "namespace": namespace}
        metadata["resourceVersion"] = str(self._versions)
        kept = {**document, "metadata": metadata}
        self.config_maps[namespace, metadata["name"]] = kept
        return kept


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += client.recv(count - len(data))
    return data
