from __future__ import annotations

from pathlib import Path

import pytest

from mesh.istio.eras import era
from mesh.istio.load import load_text
from mesh.testbed.client import TestbedError
from mesh.testbed.documents import documents

TEXT = """# A comment that belongs to the first.
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: a, namespace: tutorial}
spec: {host: a}
---

# The second.
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: b, namespace: tutorial}
spec: {host: b}
"""


def test_resources_keep_the_lines_of_their_file() -> None:
    resources = load_text(TEXT, "f.yaml", era=era("istio-1.9")).resources
    for document, resource in zip(documents(resources), resources, strict=True):
        (again,) = load_text(document[1], document[0], era=era("istio-1.9")).resources
        assert again.name == resource.name
        assert again.position("spec.host") == resource.position("spec.host")


def test_a_folder_stands_for_its_yaml_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.txt"):
        (tmp_path / name).write_text(name)
    found = documents([tmp_path, tmp_path / "c.txt", "text", ("f", "t")])
    assert [text for _, text in found] == ["a.yml", "b.yaml", "c.txt", "text", "t"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"cannot read .*none\.yaml: No such file"):
        documents([tmp_path / "none.yaml"])
    with pytest.raises(TestbedError, match="has no file that ends in"):
        documents([tmp_path])
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(TestbedError, match="is not UTF-8 text"):
        documents([tmp_path])
