from __future__ import annotations

from pathlib import Path

import pytest

from mesh.istio import load_text
from mesh.istio.eras import ISTIO_1_28
from mesh.pilot.store import Store, StoreError, key_of

TEXT = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b}
spec: {host: b}
"""


def test_resources_come_back_in_order_with_their_positions(tmp_path: Path) -> None:
    resources = load_text(TEXT, "both.yaml", era=ISTIO_1_28, namespace="tutorial").resources
    Store(tmp_path).save(list(reversed(resources)), "istio-1.28")
    loaded = Store(tmp_path).load()
    assert [each.name for each in loaded] == ["b", "a"]
    for old, new in zip(reversed(resources), loaded, strict=True):
        assert key_of(old) == key_of(new)
        assert old.position("spec.host") == new.position("spec.host")


def test_a_deleted_resource_stays_away_and_unfinished_files_go(tmp_path: Path) -> None:
    resources = load_text(TEXT, "both.yaml", era=ISTIO_1_28, namespace="tutorial").resources
    store = Store(tmp_path)
    store.save(resources, "istio-1.28")
    store.delete(key_of(resources[0]))
    (tmp_path / "x.tmp").write_text("half")
    assert [each.name for each in Store(tmp_path).load()] == ["b"]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n")
    with pytest.raises(StoreError, match="was not written by the control plane"):
        Store(tmp_path).load()


def test_one_that_is_applied_twice_at_once_is_written_once(tmp_path: Path) -> None:
    text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec: {{hosts: [{}]}}\n"
    both = "---\n".join(text.format(host) for host in ("one", "two"))
    store = Store(tmp_path)
    store.load()
    resources = load_text(both, "a.yaml", era=ISTIO_1_28, namespace="x").resources
    store.save(resources, ISTIO_1_28.name)
    (found,) = Store(tmp_path).load()
    assert found.spec.hosts == ["two"]  # type: ignore[attr-defined]


def test_a_changed_one_keeps_its_place(tmp_path: Path) -> None:
    a, b = load_text(TEXT, "both.yaml", era=ISTIO_1_28, namespace="tutorial").resources
    Store(tmp_path).save([a, b], "istio-1.28")
    store = Store(tmp_path)
    store.load()
    store.save([a], "istio-1.28")
    assert [each.name for each in Store(tmp_path).load()] == ["a", "b"]
    store.delete(key_of(a))
    store.save([a], "istio-1.28")
    assert [each.name for each in Store(tmp_path).load()] == ["b", "a"]
