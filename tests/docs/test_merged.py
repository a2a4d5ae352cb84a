"""What a merge leaves behind reaches nobody."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARKER = re.compile(r"^(<{7} |>{7} |={7}$|\|{7} )", re.MULTILINE)


@pytest.mark.skipif(
    not ((ROOT / ".git").exists() and shutil.which("git")), reason="this is no checkout of git"
)
def test_no_file_has_a_marker_of_a_conflict() -> None:
    words = ["git", "-C", str(ROOT), "ls-files", "-z"]
    names = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("\0")
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8", errors="replace")
        for name in names
        if name and (ROOT / name).is_file()
    }
    assert len(texts) > 500
    assert [name for name, text in texts.items() if MARKER.search(text)] == []
