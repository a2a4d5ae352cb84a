"""The ``kubectl`` of the tests: a program on the PATH that asks a ``FakeCluster``.

It hands its arguments and its standard input, output and error to the cluster's socket, as the real one
hands them to an API server, and ends with the exit code that comes back.
"""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as api:
    try:
        api.connect(os.environ["FAKE_CLUSTER"])
    except OSError:
        where = "127.0.0.1:6443"
        print(
            f"The connection to the server {where} was refused - did you specify the right host or port?",
            file=sys.stderr,
        )
        sys.exit(1)
    words = json.dumps(sys.argv[1:]).encode()
    socket.send_fds(api, [len(words).to_bytes(4, "big")], [0, 1, 2])
    api.sendall(words)
    code = api.recv(1)
sys.exit(code[0] if code else 1)
