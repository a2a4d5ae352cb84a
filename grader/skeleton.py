"""``make new-lab NUMBER=6 NAME=load-balancing``: the folder of a lab that runs, to be changed.

It is a copy of lab 1 with another number and title: a lab whose solution passes and whose mutants
are caught is a better beginning than an empty one.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from grader.lab import LABS, LabDefinition, LabError, find_lab

MODEL = 1


def new_lab(number: int, name: str, labs: Path = LABS) -> Path:
    """Make ``labs/NN-name``; LabError when the name cannot be used or the number is taken."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise LabError(f"{name!r} cannot be a lab's name: use small letters, digits and hyphens.")
    if not 0 <= number <= 99:
        raise LabError(f"{number} cannot be a lab's number: use 0 to 99.")
    if taken := sorted(labs.glob(f"{number:02d}-*")):
        raise LabError(f"Lab {number} is there already: {taken[0].name}.")
    model = find_lab(MODEL, labs)
    folder = labs / f"{number:02d}-{name}"
    shutil.copytree(model.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    title = name.replace("-", " ").capitalize()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            path.write_text(
                renamed(path.read_text(encoding="utf-8"), model, folder.name, number, title),
                encoding="utf-8",
            )
    return folder


def renamed(text: str, model: LabDefinition, folder: str, number: int, title: str) -> str:
    """``text`` of the model with the new lab's number, title and folder."""
    text = text.replace(model.folder.name, folder).replace(model.title, title)
    text = re.sub(rf"\b(lab|watch|reset|hint|submit)-0?{model.number}\b", rf"\g<1>-{number}", text)
    text = re.sub(rf"\b([Ll]ab) {model.number}\b", rf"\g<1> {number}", text)
    return re.sub(r"^number: \d+$", f"number: {number}", text, flags=re.MULTILINE)
