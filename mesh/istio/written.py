"""Resources as YAML text that Kubernetes reads back as they are, and back from it as plain data.

PyYAML follows YAML 1.1, kubectl go-yaml: the text ``12e4`` is a word for the one and a number for the
other.  What ``scalars`` (go-yaml's rules) would not read as the same text is written in quotation marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from mesh.istio.document import parse
from mesh.istio.scalars import BadScalarError, resolve


class _Dumper(yaml.SafeDumper):
    """PyYAML's, with quotation marks round texts that Kubernetes would take for something else.

    What stands in two places is written twice: no reader needs to know what ``*id001`` is.
    """

    def ignore_aliases(self, data: Any) -> bool:
        """Asked by PyYAML for each value."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        plain = resolve(text, None, None) == text
    except BadScalarError:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else "'")


_Dumper.add_representer(str, _text)


def dump_all(documents: Sequence[dict[str, Any]]) -> str:
    """Return documents as one YAML text, their fields in the order that they have."""
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def dump(document: dict[str, Any]) -> str:
    """Return one document as YAML text."""
    return dump_all([document])


def read_all(text: str) -> list[Any]:
    """Return the documents of a text by the same rules; broken and empty ones are left out."""
    roots = [document.root for document in parse(text, "")[0]]
    return [plain for root in roots if root is not None if (plain := root.plain())]
