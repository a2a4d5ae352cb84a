"""``meshctl``: look into a mesh, change it, ask it.

    meshctl up && meshctl curl / && meshctl apply -f labs/01-canary/solution && meshctl down

Each command is a file of ``mesh.commands``; errors end in ``mesh.commands.errors``.
"""

from __future__ import annotations

import sys

import typer

from mesh.commands import (
    analyze,
    apply,
    ca,
    conform,
    console,
    curl,
    delete,
    demo,
    describe,
    diff,
    doctor,
    down,
    explain,
    export,
    fix,
    get,
    graph,
    import_cluster,
    kill,
    logs,
    metrics,
    proxy_config,
    proxy_status,
    restart,
    scale,
    schemas,
    status,
    tap,
    trace,
    up,
    validate,
)
from mesh.commands.errors import Commands

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A service mesh on this machine: start it, configure it with Istio YAML, look into it.",
)
app.command("up")(up.up)
app.command("down")(down.down)
app.command("status")(status.status)
app.command("apply")(apply.apply)
app.command("get")(get.get)
app.command("delete")(delete.delete)
app.command("validate")(validate.validate)
app.command("analyze")(analyze.analyze)
app.command("fix")(fix.fix)
app.command("describe")(describe.describe)
app.command("explain")(explain.explain)
app.command("diff")(diff.diff)
app.command("curl")(curl.curl)
app.command("graph")(graph.graph)
app.command("top")(graph.top)
app.command("kill")(kill.kill)
app.command("restart")(restart.restart)
app.command("start-pilot")(kill.start_pilot)
app.command("scale")(scale.scale)
app.command("metrics")(metrics.metrics)
app.command("trace")(trace.trace)
app.command("tap")(tap.tap)
app.command("logs")(logs.logs)
app.command("proxy-status")(proxy_status.proxy_status)
app.command("proxy-config")(proxy_config.proxy_config)
app.command("conform")(conform.conform)
app.command("console")(console.console)
app.command("demo")(demo.demo)
app.command("export")(export.export)
app.command("import")(import_cluster.import_cluster)
app.command("schemas")(schemas.schemas)
app.command("ca")(ca.certificate_authority)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Entry point of ``meshctl``."""
    # Names of services and the signs ✓ ✗ • are UTF-8 whatever the terminal's locale says.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    app(prog_name="meshctl")


if __name__ == "__main__":
    main()
