"""The preloaded process ("zygote"): it imports everything once and forks every child from that.

Importing Flask or mitmproxy takes most of a second, forking some milliseconds; and forked
processes share the memory of what was imported before.  Forking is safe because this process
runs one thread, no event loop and no server.

It speaks with the command that started it over a socket pair, and with later commands over a
Unix socket in the run folder.  It holds what must outlive a command: the lifeline of all
children, their ports, the list of who runs.  When the starting command is gone it ends
everything, unless it was told to ``keep`` the mesh.  Messages: ``mesh.testbed.wire``; requests:
the methods ``do_<op>`` below.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh import lean
from mesh.state import RunFolder
from mesh.testbed import child, wire
from mesh.testbed.child import ChildSpec
from mesh.testbed.plain import from_plain
from mesh.testbed.ports import Ports


def forking_is_safe() -> bool:
    """Tell whether children are forked; ``MESH_START=fork|spawn`` overrides the platform."""
    chosen = os.environ.get("MESH_START", "")
    if chosen in ("fork", "spawn"):
        return chosen == "fork"
    return sys.platform == "linux"


def single_threaded() -> bool:
    """Tell whether this process has one thread, counting those that Python does not know."""
    tasks = Path("/proc/self/task")
    if tasks.exists():
        return len(list(tasks.iterdir())) == 1
    return threading.active_count() == 1


@dataclass(slots=True)
class Zygote:
    """The state of the preloaded process; ``control`` is the starting command's socket."""

    control: socket.socket
    run: RunFolder
    kept: bool = False
    ending: bool = False
    names: dict[int, str] = field(default_factory=dict)
    ports: Ports = field(default_factory=Ports)
    peers: dict[int, wire.Receiver] = field(default_factory=dict)
    selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    lifeline: tuple[int, int] = field(default_factory=os.pipe)
    wakeup: tuple[socket.socket, socket.socket] = field(default_factory=socket.socketpair)
    door: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_UNIX))

    def serve(self) -> None:
        """Handle requests, exits and new commands until the end, then end all children."""
        self.wakeup[1].setblocking(False)
        signal.set_wakeup_fd(self.wakeup[1].fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it arrives through the wake-up socket
        signal.signal(signal.SIGTERM, self._terminate)
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(ignored, signal.SIG_IGN)
        self.door.bind(str(self.run.socket(0)))
        self.door.listen()
        for sock in (self.wakeup[0], self.door):
            self.selector.register(sock, selectors.EVENT_READ)
        self._welcome(self.control)
        while not self.ending:
            for key, _ in self.selector.select():
                self._handle(key.fileobj)
        self.end_children()

    def _terminate(self, *_: object) -> None:
        self.ending = True

    def _handle(self, sock: Any) -> None:
        if sock is self.wakeup[0]:
            self.wakeup[0].recv(4096)
            self.reap()
        elif sock is self.door:
            self._welcome(self.door.accept()[0])
        elif sock.fileno() in self.peers:
            self._hear(self.peers[sock.fileno()])

    def _welcome(self, sock: socket.socket) -> None:
        self.peers[sock.fileno()] = wire.Receiver(sock)
        self.selector.register(sock, selectors.EVENT_READ)

    def _hear(self, peer: wire.Receiver) -> None:
        messages = peer.receive()
        if messages is None:
            self._farewell(peer.sock)
            return
        for message, fds in messages:
            try:
                answer = getattr(self, "do_" + message["op"])(message, fds)
            except Exception as problem:
                answer = {"error": f"{type(problem).__name__}: {problem}"}
            for fd in fds:
                os.close(fd)
            self._tell(peer.sock, {"id": message["id"], **answer})

    def _farewell(self, sock: socket.socket) -> None:
        self.selector.unregister(sock)
        del self.peers[sock.fileno()]
        if sock is self.control and not self.kept:
            self.ending = True
        sock.close()

    def _tell(self, sock: socket.socket, message: wire.Message) -> None:
        with contextlib.suppress(OSError):  # a command that is gone is noticed when it is read
            wire.send(sock, message)

    def reap(self) -> None:
        """Collect ended children and tell every command about them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self.names.pop(pid, "")
            if name:
                code = os.waitstatus_to_exitcode(status)
                event = {"event": "exit", "pid": pid, "name": name, "status": code}
                for peer in list(self.peers.values()):
                    self._tell(peer.sock, event)

    # Requests.  Each returns what is sent back.

    def do_preload(self, message: wire.Message, fds: list[int]) -> wire.Message:
        """Import ``modules``, so that children forked from now on have them.

        A module that has ``warm_up`` is warmed up.
        """
        for name in message["modules"]:
            lean.prepare(name)
            module = importlib.import_module(name)
            if forking_is_safe() and hasattr(module, "warm_up"):
                module.warm_up()
        gc.freeze()  # the collector leaves these objects alone: their memory stays shared
        return {}

    def do_start(self, message: wire.Message, fds: list[int]) -> wire.Message:
        """Start ``spec``; the message's descriptors become the options named in ``fd_names``."""
        raw = dict(message["spec"])
        raw["fds"] = {
            **dict(zip(message["fd_names"], fds, strict=True)),
            "lifeline_fd": self.lifeline[0],
        }
        spec: ChildSpec = from_plain(ChildSpec, raw)
        pid = self._fork(spec) if forking_is_safe() and single_threaded() else self._spawn(spec)
        self.names[pid] = spec.name
        return {"pid": pid}

    def _fork(self, spec: ChildSpec) -> int:
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self.forget()
            child.begin(spec, parent, set(spec.fds.values()))
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid

    def forget(self) -> None:
        """Close, in a forked child, what belongs to its parent."""
        signal.set_wakeup_fd(-1)
        self.selector.close()
        self.ports.close()
        for peer in self.peers.values():
            peer.sock.close()
        for sock in (self.door, *self.wakeup, self.control):
            sock.close()
        os.close(self.lifeline[1])

    def _spawn(self, spec: ChildSpec) -> int:
        argument = child.as_argument(spec, os.getpid())
        process = subprocess.Popen(
            [sys.executable, "-m", "mesh.testbed.child", argument],
            pass_fds=tuple(spec.fds.values()),
            process_group=0,
        )
        process.returncode = 0  # this loop waits for it, not the Popen object
        return process.pid

    def do_ports(self, message: wire.Message, fds: list[int]) -> wire.Message:
        """Hold ``count`` more ports."""
        return {"ports": self.ports.take(int(message["count"]))}

    def do_release(self, message: wire.Message, fds: list[int]) -> wire.Message:
        """Let go of ``ports``."""
        self.ports.release([int(port) for port in message["ports"]])
        return {}

    def do_kill(self, message: wire.Message, fds: list[int]) -> wire.Message:
        """Kill the child ``pid`` and its group (Envoy, below its supervisor); wait for its end."""
        pid = int(message["pid"])
        if pid not in self.names:
            return {"killed": False}
        os.killpg(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        self.reap()
        return {"killed": True}

    def do_children(self, message: wire.Message, fds: list[int]) -> wire.Message:
        """List the living children."""
        self.reap()
        return {"children": {str(pid): name for pid, name in self.names.items()}}

    def do_keep(self, message: wire.Message, fds: list[int]) -> wire.Message:
        """Live on when the starting command ends."""
        self.kept = True
        return {}

    def do_end(self, message: wire.Message, fds: list[int]) -> wire.Message:
        """End all children and remove the run folder, then this process."""
        self.end_children()
        self.run.remove()
        self.ending = True
        return {}

    def end_children(self) -> None:
        """Kill every child, and theirs, and wait until none is left."""
        listing = Path(f"/proc/self/task/{os.getpid()}/children")
        while True:
            pids = set(self.names)
            if listing.exists():
                pids |= {int(pid) for pid in listing.read_text().split()}
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            try:
                ended, _ = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            self.names.pop(ended, None)


def main(control_fd: int, folder: str) -> None:
    """Run until the starting command is gone or says ``end``; then nothing is left."""
    gc.disable()  # children turn it on again
    child.adopt_orphans()
    child.clean_environment({})
    run = RunFolder(Path(folder))
    zygote = Zygote(socket.socket(fileno=control_fd), run)
    try:
        zygote.serve()
    finally:
        zygote.end_children()
        run.remove()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
