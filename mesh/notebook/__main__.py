"""``python -m mesh.notebook run|slides [NUMBER...]``: run notebooks and check their outputs.

``run`` prints a line for each and ends with 1 when one did not do what it promises; ``slides`` writes
``dist/slides/NAME.html`` as well.  ``ENGINE=envoy`` runs them on the real Envoy.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mesh.notebook.book import books, run
from mesh.notebook.slides import write_slides

USAGE = "python -m mesh.notebook run|slides [NUMBER...]"


def main(arguments: list[str]) -> int:
    """Run the chosen notebooks; the exit code."""
    verb, *numbers = arguments or [""]
    if verb not in ("run", "slides"):
        print(f"usage: {USAGE}", file=sys.stderr)
        return 2
    chosen = [path for path in books() if not numbers or path.name.split("-")[0] in numbers]
    if not chosen:
        known = ", ".join(path.name.split("-")[0] for path in books())
        print(f"there is no notebook {' '.join(numbers)}: there are {known}", file=sys.stderr)
        return 2
    bad = 0
    for path in chosen:
        begin = time.monotonic()
        book, found = run(path)
        print(
            f" {'✗' if found else '✓'} {path.name} ({time.monotonic() - begin:.1f} s)", flush=True
        )
        for fault in found:
            print(f"   {fault}")
        bad += bool(found)
        if verb == "slides" and not found:
            target = Path("dist/slides") / f"{path.stem}.html"
            write_slides(book, target)
            print(f"   {target}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
