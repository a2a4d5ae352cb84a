"""``python -m mesh.sidecar --node-id pod --ads-socket PATH --admin-port N``: one sidecar."""

from __future__ import annotations

import argparse

from mesh import lean


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m mesh.sidecar", description=__doc__)
    parser.add_argument("--node-id", required=True)
    parser.add_argument("--ads-socket", required=True)
    parser.add_argument("--admin-port", type=int, required=True)
    parser.add_argument("--cluster", default="")
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--lifeline-fd", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    lean.prepare("mesh.sidecar.main")
    from mesh.sidecar.main import SidecarOptions, run

    run(
        SidecarOptions(
            node_id=arguments.node_id,
            ads_socket=arguments.ads_socket,
            admin_port=arguments.admin_port,
            cluster=arguments.cluster,
            ready_fd=arguments.ready_fd,
            lifeline_fd=arguments.lifeline_fd,
            seed=arguments.seed,
        )
    )


main()
