"""One place turns errors into a sentence and an exit code: no command prints a traceback.

0 done; 1 refused or failed; 2 wrong use; 70 a bug of the kit; 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

REFUSED, USAGE, BUG, INTERRUPTED = 1, 2, 70, 130
DEBUG_VARIABLE = "MESH_LAB_DEBUG"


class UserError(Exception):
    """Something the user can mend; the text is one sentence that says what and how."""


_SENTENCES = {
    "ApplyError",
    "CaseError",
    "LabError",
    "MixerError",
    "PilotError",
    "StateError",
    "TestbedError",
    "TopologyError",
    "UserError",
}
"""The kit's exceptions whose text is a sentence for the user, by name: importing them all here
would make every command slow."""


def sentence(error: Exception) -> tuple[str, int]:
    """Return what to print for an error, and the exit code."""
    if any(each.__name__ in _SENTENCES for each in type(error).__mro__):
        return str(error), REFUSED
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", REFUSED
    text = f"this is a bug of the kit: {type(error).__name__}: {error}"
    return f"{text} ({DEBUG_VARIABLE}=1 shows where)", BUG


class Commands(TyperGroup):
    """A group of commands whose errors end in a sentence."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print(" ✗ stopped", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader (head, less) has seen enough; nothing more may be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as error:
            if hasattr(error, "exit_code"):  # typer's own: wrong use, or an intended exit
                raise
            if os.environ.get(DEBUG_VARIABLE):
                raise
            text, code = sentence(error)
            print(f" ✗ {text}", file=sys.stderr)
            raise typer.Exit(code) from None
