"""Answers: what a student predicts before a run, and what they say is wrong with a broken mesh.

A lab's ``answers.yaml`` asks; the student writes into ``work/lab-NN/answers.yaml``; the lab's
``answers.py`` judges each answer by what the same run measured (``grader.checks.answer``).

    predictions:
      - name: copies
        question: Of 200 requests, how many reach v2 as well?
        kind: number                    # a whole number or a decimal fraction
        low: 0                          # optional bounds of what makes sense
        high: 200
    diagnosis:
      story: Since noon some customers see errors ...
      questions:
        - name: cause
          question: What is wrong?
          kind: choice
          choices: [empty-subset, no-such-subset, slow-pod]

The parameters are filled in as in ``lab.yaml``.  A student's file is data: one scalar a name, no
anchors, no tags.
"""

from __future__ import annotations

import difflib
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grader.lab import ANSWERS, LabDefinition, LabError

Given = str | float
MAX_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class Question:
    """One question; ``choices`` is empty for a number, ``low`` and ``high`` bound it."""

    name: str
    text: str
    kind: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def form(self) -> str:
        """What an answer looks like, in words."""
        if self.choices:
            return f"one of: {', '.join(self.choices)}"
        if self.low is not None and self.high is not None:
            return f"a number from {self.low:g} to {self.high:g}"
        return "a number"

    def read(self, text: str) -> Given:
        """The answer written as ``text``; ValueError says in one sentence what is wrong with it."""
        if self.choices:
            if text in self.choices:
                return text
            near = difflib.get_close_matches(text, self.choices, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"write {self.form}"
            raise ValueError(f"{text!r} is not an answer to {self.name}: {advice}")
        try:
            number = float(text.removesuffix("%").strip())
        except ValueError:
            raise ValueError(
                f"{text!r} is not an answer to {self.name}: write {self.form}"
            ) from None
        low = self.low if self.low is not None else float("-inf")
        high = self.high if self.high is not None else float("inf")
        if not low <= number <= high:
            raise ValueError(f"{text} cannot be the answer to {self.name}: write {self.form}")
        return number


@dataclass(frozen=True, slots=True)
class Questions:
    """All that a lab asks; ``story`` introduces the diagnosis."""

    predictions: tuple[Question, ...] = ()
    diagnosis: tuple[Question, ...] = ()
    story: str = ""

    @property
    def all(self) -> tuple[Question, ...]:
        """Predictions first."""
        return (*self.predictions, *self.diagnosis)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a student wrote: answers by name, and a sentence for each thing that cannot be read."""

    given: dict[str, Given]
    problems: tuple[str, ...] = ()


def load_questions(lab: LabDefinition) -> Questions:
    """The questions of ``lab`` with its parameters filled in; none when it asks none."""
    path = lab.folder / ANSWERS
    if not path.exists():
        return Questions()
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    diagnosis = raw.get("diagnosis") or {}
    return Questions(
        tuple(_question(lab, item) for item in raw.get("predictions", [])),
        tuple(_question(lab, item) for item in diagnosis.get("questions", [])),
        lab.fill(" ".join(str(diagnosis.get("story", "")).split())),
    )


def _question(lab: LabDefinition, raw: dict[str, Any]) -> Question:
    unknown = set(raw) - {"name", "question", "kind", "choices", "low", "high"}
    choices = tuple(lab.fill(str(each)) for each in raw.get("choices", ()))
    if (
        unknown
        or raw.get("kind") not in ("number", "choice")
        or bool(choices) != (raw["kind"] == "choice")
    ):
        raise LabError(
            f"{lab.folder / ANSWERS}: {raw.get('name')!r} needs name, question and kind: number "
            "(with low and high, if wanted) or kind: choice with choices, and nothing else."
        )
    text = lab.fill(" ".join(str(raw["question"]).split()))
    return Question(raw["name"], text, raw["kind"], choices, raw.get("low"), raw.get("high"))


def read_answers(path: Path, questions: Questions, shown: str = "") -> Answers:
    """Read a student's file; what cannot be read is a problem and counts as not answered.

    ``shown`` is the file's name in the sentences.
    """
    shown = shown or str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            return Answers({}, (f"{shown}: larger than {MAX_BYTES} bytes, not read.",))
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        return Answers({})
    except UnicodeDecodeError:
        return Answers({}, (f"{shown}: not a text in UTF-8: save it as one.",))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        said = getattr(error, "problem", None) or "it cannot be read"
        return Answers(
            {}, (f"{shown}:{line}: not YAML ({said}): write `name: answer`, one a line.",)
        )
    if node is None:
        return Answers({})
    if not isinstance(node, yaml.MappingNode):
        return Answers({}, (f"{shown}:1: write `name: answer`, one a line.",))
    return _read_pairs(node, questions, shown)


def _read_pairs(node: yaml.MappingNode, questions: Questions, shown: str) -> Answers:
    known = {item.name: item for item in questions.all}
    given: dict[str, Given] = {}
    problems = []
    for key, value in node.value:
        where = f"{shown}:{key.start_mark.line + 1}"
        question = known.get(key.value) if isinstance(key, yaml.ScalarNode) else None
        if question is None:
            name = key.value if isinstance(key, yaml.ScalarNode) else "this"
            near = difflib.get_close_matches(str(name), known, 1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
            problems.append(f"{where}: no question is named {str(name)[:60]!r}: {advice}")
        elif not isinstance(value, yaml.ScalarNode):
            problems.append(f"{where}: {question.name} takes one answer: write {question.form}.")
        elif question.name in given:
            problems.append(f"{where}: {question.name} is answered twice; the first one counts.")
        elif (text := str(value.value).strip()) not in ("", "~"):
            try:
                given[question.name] = question.read(text)
            except ValueError as problem:
                problems.append(f"{where}: {str(problem)[:300]}.".replace("?.", "?"))
    return Answers(given, tuple(problems))


def template(lab: LabDefinition, questions: Questions) -> str:
    """The file for a student to fill in: every question as a comment above its name."""
    lines = [
        f"# Your answers for lab {lab.number}, for {lab.set.owner} ({lab.parameters_text}).",
        "# Write each behind its name. The predictions come first: before you run anything.",
    ]
    for number, item in enumerate(questions.all, start=1):
        if questions.diagnosis and item is questions.diagnosis[0]:
            lines += ["", "# --- The diagnosis: read diagnosis/ after your first run. ---"]
        lines += ["", *_comment(f"{number}. {item.text} ({item.form})"), f"{item.name}:"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="#    ")
