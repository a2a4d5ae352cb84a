"""What several tests of the grader share."""

from pathlib import Path

import pytest

from grader.course.store import Store
from tests.grader.course.graded import graded


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OUT folder of four judged students, made once; copy it before you change it."""
    return graded(tmp_path_factory.mktemp("graded")).out


@pytest.fixture
def store(judged: Path, tmp_path: Path) -> Store:
    """A copy of ``judged`` in ``tmp_path / "out"``."""
    import shutil

    shutil.copytree(judged, tmp_path / "out")
    return Store(tmp_path / "out")
