"""The pins: every group says what it needs, and no two groups disagree."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "requirements"
GROUPS = ("core", "envoy", "console", "notebooks", "otlp", "dev")
PIN = re.compile(r"^([a-z0-9-]+)==([^ ;]+)(?: ; (.+))?$")


def pins(group: str) -> dict[tuple[str, str], str]:
    found = {}
    for line in (FOLDER / f"{group}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = PIN.match(line)
            assert match, f"{group}.txt: {line!r} is not a plain pin"
            found[match[1], match[3] or ""] = match[2]
    return found


def test_every_wish_has_a_pin() -> None:
    for group in GROUPS:
        names = {name for name, _ in pins(group)}
        for line in (FOLDER / f"{group}.in").read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                assert re.split("[<>=]", line)[0] in names


def test_groups_agree() -> None:
    seen: dict[tuple[str, str], str] = {}
    for group in GROUPS:
        for key, version in pins(group).items():
            assert seen.setdefault(key, version) == version, key
