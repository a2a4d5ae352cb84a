"""What docs/run-a-course.md says can be typed."""

import re
from pathlib import Path

import typer.main

from grader.cli import app
from grader.course.course import read_course

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "run-a-course.md").read_text(encoding="utf-8")


def test_its_course_yaml_is_one(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(course:.*?)```", TEXT, re.DOTALL)
    assert found is not None
    (tmp_path / "course.yaml").write_text(found[1])
    (tmp_path / "roster.csv").write_text("student\nada\n")
    (tmp_path / "times.csv").write_text("student,lab,submitted\nada,1,2026-11-03 10:00\n")
    (tmp_path / "staff" / "students").mkdir(parents=True)
    course = read_course(tmp_path / "course.yaml")
    assert course.labs[1].answers
    assert course.policy.max_days == 3
    assert ("ada", 1) in course.extensions


def test_its_commands_and_options_exist() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    used = set(re.findall(r"(?m)(?:`|^|bin/)grade ([a-z][a-z-]+)((?: [^`\n|#]*)?)", TEXT))
    assert len(used) > 10
    for name, rest in sorted(used):
        assert name in commands, name
        options = {each for p in commands[name].params for each in p.opts}
        for option in re.findall(r"(--[a-z-]+)", rest):
            assert option in options or option in ("--array", "--wrap"), (name, option)
