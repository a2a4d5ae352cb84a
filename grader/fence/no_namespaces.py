"""The last step before code behind bubblewrap: from here on the kernel refuses new namespaces.

    python -I -c (this text) WORD...

An ordinary user may make a user namespace, be root in it, and mount there: a memory disk as large as
it likes, say, which no limit of a process counts.  Docker's seccomp profile forbids that; behind
bubblewrap this filter does, together with what students' code never needs and the kernel has had
trouble with (BPF, io_uring, userfaultfd, perf, keys).  System calls of another architecture than
the machine's end the process.  Then the command WORD... takes this one's place.

Numbers: the kernel's ``unistd_64.h`` and ``asm-generic/unistd.h``; actions: ``linux/seccomp.h``.
"""

import ctypes
import os
import platform
import struct
import sys

EPERM, ENOSYS = 1, 38
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NEW_USER = 0x10000000
NR, ARCH, FIRST_ARGUMENT = 0, 4, 16
X32 = 0x40000000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# clone, then: unshare setns mount umount2 pivot_root bpf userfaultfd perf_event_open keyctl add_key
# request_key
KNOWN = {
    "x86_64": (0xC000003E, 56, (272, 308, 165, 166, 155, 321, 323, 298, 250, 248, 249)),
    "aarch64": (0xC00000B7, 220, (97, 268, 40, 39, 41, 280, 282, 241, 219, 217, 218)),
}
CLONE3 = 435
NEWER = (425, 428, 429, 430, 432, 442)
"""io_uring_setup open_tree move_mount fsopen fsmount mount_setattr, the same everywhere."""


def program(machine: str) -> bytes:
    """The filter, as the kernel's ``struct sock_filter``; KeyError for another machine."""
    arch, clone, denied = KNOWN[machine]

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    def refuse(number: int, error: int) -> bytes:
        return step(EQUAL, number, 0, 1) + step(RETURN, ERRNO | error)

    found = step(LOAD, ARCH) + step(EQUAL, arch, 1, 0) + step(RETURN, KILL) + step(LOAD, NR)
    found += step(AT_LEAST, X32, 0, 1) + step(RETURN, KILL)
    found += refuse(CLONE3, ENOSYS)  # the C library then uses clone, whose flags can be seen
    for number in (*denied, *NEWER):
        found += refuse(number, EPERM)
    found += step(EQUAL, clone, 0, 3) + step(LOAD, FIRST_ARGUMENT)
    found += step(ANY_BIT, NEW_USER, 0, 1) + step(RETURN, ERRNO | EPERM)
    return found + step(RETURN, ALLOW)


class Program(ctypes.Structure):
    """The kernel's ``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(command: list[str]) -> None:
    """Set the filter and become the command; without it, nothing runs."""
    steps = program(platform.machine())
    loaded = Program(len(steps) // 8, steps)
    call = ctypes.CDLL(None, use_errno=True).prctl
    if call(38, 1, 0, 0, 0) or call(22, 2, ctypes.byref(loaded), 0, 0):  # NO_NEW_PRIVS, SECCOMP
        sys.exit(f"no seccomp filter: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)  # noqa: S606  the command is the grader's


if __name__ == "__main__":
    main(sys.argv[1:])
