"""An OUT folder with judged attempts: the real files, driver and checks, a stand-in for the mesh."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grader import session
from grader.course.attempt import judge_attempt
from grader.course.course import Course
from grader.course.grades import rows, write_tables
from grader.course.intake import take_in
from grader.course.store import Store
from grader.lab import find_lab
from tests.grader.course.hostile import folder, mutant, solution
from tests.grader.fake_mesh import FakeMesh

LAB = find_lab(1)


def graded(root: Path) -> Store:
    """Four students: ada is right, bob wrong, cat's file does not load, dan's is missing."""
    right = solution(LAB)
    folder(root / "in" / "ada", right)
    folder(root / "in" / "bob", mutant(LAB, "eighty-twenty", root))
    folder(root / "in" / "cat", {**right, LAB.files[0]: b"kind: [\n"})
    folder(root / "in" / "dan", {LAB.files[0]: right[LAB.files[0]]})
    store = Store(root / "out")
    take_in(store, Course(), LAB, root / "in", engine="mitmproxy", runtime="local")
    here = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "make_testbed", lambda *_: FakeMesh())
        for each in store.attempts(1):
            if not each.done:
                assert judge_attempt(each, "mitmproxy", "local") == ""
                os.chdir(here)
    write_tables(store, rows(store, Course()))
    return store
