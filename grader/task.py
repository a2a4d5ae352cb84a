"""``TASK.md`` and the answers' form: what ``make lab-N`` writes beside a student's files."""

from __future__ import annotations

import contextlib
from pathlib import Path

from grader.answers import Questions, template
from grader.lab import ANSWERS, LabDefinition

TASK = "TASK.md"


def task_text(lab: LabDefinition, questions: Questions) -> str:
    """The task with this run's numbers; the first line says whose they are."""
    lines = [
        f"Lab {lab.number}, {lab.title}: {lab.set.owner} ({lab.parameters_text}).",
        "",
        "## Task",
        "",
        lab.task,
        "",
        "## What you hand in",
        "",
        *(f"- `{name}`" for name in lab.files),
        "",
        f"`make lab-{lab.number}` runs and scores it, `make hint-{lab.number}` opens the next hint, "
        f"`make submit-{lab.number}` packs it. "
        f"The chapter is `labs/{lab.folder.name}/README.md`.",
    ]
    if questions.predictions:
        lines += ["", f"## Predictions (write them into `{ANSWERS}` before you run)", ""]
        lines += [f"- `{item.name}`: {item.text} ({item.form})" for item in questions.predictions]
    if questions.diagnosis:
        lines += ["", "## Diagnosis", "", questions.story, ""]
        lines += [
            "Each run leaves in `diagnosis/` what an engineer on call would have: `client.txt`, "
            "the sidecars' access logs in `log.txt`, and what their counters grew by in "
            "`metrics.txt`.",
            "",
        ]
        lines += [f"- `{item.name}`: {item.text} ({item.form})" for item in questions.diagnosis]
    return "\n".join(lines) + "\n"


def write_task(lab: LabDefinition, folder: Path, questions: Questions) -> None:
    """Write ``TASK.md`` where it changed, and the answers' form where there is none yet."""
    text = task_text(lab, questions)
    path = folder / TASK
    if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
        path.write_text(text, encoding="utf-8")
    if questions.all and ANSWERS in lab.files:
        with contextlib.suppress(FileExistsError), (folder / ANSWERS).open("x") as target:
            target.write(template(lab, questions))


def write_diagnosis(folder: Path, files: dict[str, str]) -> None:
    """Write what the diagnosis is made from, anew for each run."""
    target = folder / "diagnosis"
    target.mkdir(exist_ok=True)
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
