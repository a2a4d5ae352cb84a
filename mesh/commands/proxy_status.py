"""``meshctl proxy-status``: what each sidecar was sent, has accepted or refused."""

from __future__ import annotations

from mesh.commands.common import Mesh, Output, attach, check_output, print_json, print_table

TYPES = ("CDS", "EDS", "LDS", "RDS")


def proxy_status(mesh: Mesh = "", output: Output = "text") -> None:
    """Show whether each sidecar works by the configuration in force, as istioctl does."""
    check_output(output)
    rows = attach(mesh).pilot.proxy_status()
    if output == "json":
        print_json([each.as_dict() for each in rows])
        return
    print_table(
        ["NAME", *TYPES, "CONNECTED"],
        [
            [each.name, *(each.types.get(kind, "-") for kind in TYPES), _yes(each.connected)]
            for each in rows
        ],
    )
    for each in rows:
        for nack in each.nacks:
            place = f"{nack.file}:{nack.line}: " if nack.file else ""
            print(f" ✗ {each.name} refused {nack.type}: {place}{nack.reason}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
