"""Findings: what the rules of one kind say about one resource, as they find it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mesh.istio.eras import Era
from mesh.istio.models.base import LabelSelector, TargetRef
from mesh.istio.problem import LIMIT, Level, Problem, Room
from mesh.istio.resource import Resource, Step
from mesh.istio.schema import SCHEMA, WARNING, schema_error, schema_warning
from mesh.istio.validate import names

WEIGHTS = "KIT0010"
NO_EFFECT = "KIT0011"
MAX_PROBLEMS = 100
MAX_PATTERNS = 100_000
"""Characters of regular expressions in a file: compiling them is what costs."""

type Steps = tuple[Step, ...]


_SEVERITY = (Level.ERROR, Level.WARNING, Level.INFO)


@dataclass(slots=True)
class FileRoom(Room):
    """What is left of a file's room for problems and for regular expressions (characters).

    ``worst`` is the worst level among the problems that are not told.
    """

    patterns: int = MAX_PATTERNS
    worst: Level = Level.INFO


class Findings:
    """Collects the problems of a resource; texts are Istio's, hints are the kit's."""

    def __init__(self, resource: Resource, era: Era, room: FileRoom | None = None) -> None:
        self.resource, self.era = resource, era
        self.room = room or FileRoom()
        self.problems: list[Problem] = []

    def error(
        self, path: Steps, text: str, hint: str = "", expected: str = "", nearest: str = ""
    ) -> None:
        """Add what Istio refuses."""
        self._add(SCHEMA, Level.ERROR, schema_error(text), path, hint, expected, nearest)

    def warning(self, path: Steps, text: str, hint: str = "", expected: str = "") -> None:
        """Add what Istio warns about."""
        self._add(WARNING, Level.WARNING, schema_warning(text), path, hint, expected)

    def info(self, code: str, path: Steps, text: str, hint: str = "") -> None:
        """Add a remark of the kit."""
        self._add(code, Level.INFO, text, path, hint)

    def check(self, path: Steps, text: str, hint: str = "", expected: str = "") -> bool:
        """Add an error unless the text is empty; return True when all is well."""
        if text:
            self.error(path, text, hint, expected)
        return not text

    def _add(
        self,
        code: str,
        level: Level,
        text: str,
        path: Steps,
        hint: str,
        expected: str = "",
        nearest: str = "",
    ) -> None:
        if len(self.problems) > MAX_PROBLEMS:
            return
        if not self.room.take(1):
            self.room.worst = min(self.room.worst, level, key=_SEVERITY.index)
            return
        if len(self.problems) == MAX_PROBLEMS:
            text = f"more than {MAX_PROBLEMS} problems in one resource, the others are not shown"
        self.problems.append(
            self.resource.problem(
                code, level, text, path, hint=hint, expected=expected, nearest=nearest
            )
        )

    def duration(self, path: Steps, value: timedelta | None, zero: bool = False) -> None:
        """Check a duration: at least 1 ms, in whole milliseconds; 0 only where it is allowed."""
        if value is None or (zero and not value):
            return
        if value < timedelta(milliseconds=1):
            hint = "Leave the field out to have no limit." if not value else ""
            self.error(path, "duration must be greater than 1ms", hint, "1ms or more")
        elif value.microseconds % 1000:
            self.error(path, "only durations to ms precision are supported", expected="whole ms")

    def port(self, path: Steps, number: int | None) -> None:
        """Check a port number."""
        self.check(path, names.port_error(number or 0), expected="1..65535")

    def percent(self, path: Steps, value: int | None) -> None:
        """Check a whole percentage."""
        if value is not None and not 0 <= value <= 100:
            self.error(path, f"percentage {value} is not in range 0..100", expected="0..100")

    def labels(self, path: Steps, labels: dict[str, str] | None) -> None:
        """Check labels: Kubernetes' rules for keys and values."""
        for key, value in (labels or {}).items():
            self.check((*path, key), names.label_error(key, value))

    def selector(self, path: Steps, labels: dict[str, str] | None, prefix: str = "") -> None:
        """Check a workload selector that is there; ``prefix`` names the resource in the text."""
        for key, value in (labels or {}).items():
            if not key:
                text = f'empty key is not supported in selector: "{key}={value}"'
                self.error(path, text)
            if "*" in key + value:
                text = f'wildcard is not supported in selector: "{key}={value}"'
                self.error((*path, key), text, "Labels are compared as they are.")
        if not labels:
            text = "workload selector specified without labels"
            if prefix:
                text = f"{prefix}: {text}, will be applied to all services in namespace"
            self.warning(path, text)

    def policy_target(
        self, selector: LabelSelector | None, ref: TargetRef | None, refs: list[TargetRef] | None
    ) -> None:
        """Check ``selector``, ``targetRef`` and ``targetRefs`` of a policy."""
        if sum((selector is not None, ref is not None, bool(refs))) > 1:
            self.error(("spec",), "only one of targetRefs or workloadSelector can be set")
        if selector is not None:
            self.selector(("spec", "selector", "matchLabels"), selector.match_labels)
        places: list[tuple[Steps, TargetRef]] = [
            (("spec", "targetRefs", index), each) for index, each in enumerate(refs or [])
        ]
        if ref is not None:
            places.append((("spec", "targetRef"), ref))
        for path, each in places:
            if not each.name:
                self.error((*path, "name"), "targetRef name must be set")
            if each.namespace:
                text = "targetRef namespace must not be set; cross namespace referencing is not supported"
                self.error((*path, "namespace"), text)

    def export_to(self, values: list[str] | None, private: bool = False) -> None:
        """Check ``exportTo``; ``private`` allows ``~`` (ServiceEntry)."""
        seen: set[str] = set()
        for index, value in enumerate(values or []):
            path: Steps = ("spec", "exportTo", index)
            key = self.resource.namespace if value == "." else value
            if key in seen:
                text = f"duplicate entries in exportTo for entry {value}"
                if key != value:
                    text = f"duplicate entries in exportTo: . and current namespace {key}"
                self.error(path, text)
            seen.add(key)
            if value in (".", "*") or (private and value == "~"):
                continue
            if not names.is_label(value):
                text = f"only ., *, or a valid DNS 1123 label is allowed as exportTo entry: {value}"
                self.error(path, text)
        if "*" in seen and len(values or []) > 1:
            text = "cannot have both public (*) and non-public exportTo values for a resource"
            self.error(("spec", "exportTo"), text)
        if "~" in seen and len(values or []) > 1:
            text = "cannot export service entry to no one (~) and someone"
            self.error(("spec", "exportTo"), text)

    def regex(self, path: Steps, pattern: str, where: str) -> None:
        """Check a regular expression, as RE2 reads it; a file has room for so many only."""
        self.room.patterns -= len(pattern[: names.MAX_REGEX])
        if self.room.patterns < 0:
            text = f"more than {MAX_PATTERNS} characters of regular expressions in one file"
            self._add(LIMIT, Level.ERROR, text, path, "Split the file.")
            return
        hint = "RE2 knows no look-around and no back-references."
        self.check(path, names.regex_error(pattern, where), hint)
