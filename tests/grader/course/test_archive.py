"""Archives of strangers: read with limits, never unpacked."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.course.archive import open_bytes, open_tree
from grader.course.choose import choose, unfold
from grader.course.tree import Limits, RefusedError, clean
from tests.grader.course.hostile import folder, tar_bomb, tarred, zip_link, zipped

A, B = "destination-rule.yaml", "virtual-service.yaml"
FILES = {A: b"a: 1\n", B: b"b: 2\n"}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_gives_its_files_and_nothing_touches_the_disk(pack, tmp_path: Path) -> None:
    path = tmp_path / "ada.bin"
    path.write_bytes(pack(FILES))
    tree = open_tree(path)
    assert {e.path: e.read(100) for e in tree.entries} == FILES
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "C:/x", "a\0b", "x" * 2000, "./"]
)
def test_names_that_leave_the_submission_are_no_names(name: str) -> None:
    assert clean(name) == ""


@given(st.text())
def test_a_clean_name_stays_inside(name: str) -> None:
    found = clean(name)
    parts = found.split("/")
    assert not found.startswith("/")
    assert ".." not in parts
    assert "" not in parts or found == ""
    assert clean(found) == found or ":" in found


@given(st.binary(max_size=400))
def test_no_bytes_bring_more_than_a_refusal(data: bytes) -> None:
    for head in (b"", b"PK\3\4", b"\x1f\x8b\x08", b"BZh9", b"PK\5\6"):
        try:
            open_bytes(head + data)
        except RefusedError as refusal:
            assert str(refusal)


def test_a_tar_bomb_costs_what_the_limit_says() -> None:
    bomb = tar_bomb(128 << 20)
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    with pytest.raises(RefusedError, match="unpacks to more than 64 MB"):
        open_bytes(bomb)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


def test_a_zip_bomb_is_one_sentence_about_the_file() -> None:
    tree = open_bytes(zipped({A: b"\0" * (64 << 20), B: b""}))
    assert tree is not None
    with pytest.raises(RefusedError, match=r"destination-rule\.yaml is larger than 1024 kB"):
        choose(tree, [A, B])


def test_a_zip_that_lies_about_its_sizes_is_cut() -> None:
    data = bytearray(zipped({A: b"\0" * 5000}))
    directory = data.rindex(b"PK\1\2")
    data[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    tree = open_bytes(bytes(data))
    assert tree is not None
    with pytest.raises(RefusedError):
        tree.entries[0].read(100)


def test_a_zip_with_a_huge_table_of_contents_is_not_opened() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for number in range(300):
            archive.writestr(f"{number:0200}", b"")
    with pytest.raises(RefusedError, match="far more files"):
        open_bytes(held.getvalue(), Limits(directory=10_000))
    few = open_bytes(held.getvalue(), Limits(entries=7))
    assert few is not None
    assert len(few.entries) == 7
    assert few.notes == ["more than 7 files: the others were left out"]


def test_links_and_pipes_are_left_out(tmp_path: Path) -> None:
    root = folder(tmp_path / "ada", {B: b""})
    (root / A).symlink_to("/etc/passwd")
    (root / "deep").symlink_to("/etc", target_is_directory=True)
    tree = open_tree(root)
    assert [e.path for e in tree.entries] == [B]
    assert tree.notes == [
        "deep is a link and was left out",
        "destination-rule.yaml is a link or a special file and was left out",
    ]
    for packed in (zip_link(A, "/etc/shadow"), tarred({}, links={A: "/etc/shadow"})):
        found = open_bytes(packed)
        assert found is not None
        assert found.entries == []


def test_a_file_that_becomes_a_link_while_it_waits_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "ada", FILES)
    tree = open_tree(root)
    (root / A).unlink()
    (root / A).symlink_to("/etc/passwd")
    with pytest.raises(RefusedError):
        choose(tree, [A, B])


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"7z\xbc\xaf'\x1c", "a 7-Zip archive cannot be read here"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (zipped(FILES)[:-30], "damaged"),
        (tarred(FILES)[:40], "damaged"),
    ],
    ids=["7z", "rar", "zip", "tar.gz"],
)
def test_what_cannot_be_read_is_said(packed: bytes, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        open_bytes(packed)


def test_an_encrypted_file_is_said() -> None:
    data = bytearray(zipped({A: b"a: 1"}))
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + place] |= 1
    tree = open_bytes(bytes(data))
    assert tree is not None
    with pytest.raises(RefusedError, match="is encrypted"):
        tree.entries[0].read(100)


def test_one_folder_too_deep_and_packed_twice_is_put_right() -> None:
    inner = zipped({f"homework 1/{name}": data for name, data in FILES.items()})
    tree = open_bytes(
        zipped({"upload/hw.zip": inner, f"__MACOSX/upload/._{A}": b"junk", ".DS_Store": b""})
    )
    assert tree is not None
    found = choose(unfold(tree), [A, B])
    assert (found.files, found.missing) == (FILES, ())


def test_zips_within_zips_end_somewhere() -> None:
    data = zipped(FILES)
    for number in range(6):
        data = zipped({f"{number}.zip": data})
    tree = open_bytes(data)
    assert tree is not None
    found = unfold(tree)
    assert found.entries == []
    assert "packed too deep" in found.notes[0]


def test_many_zips_in_a_zip_share_one_allowance() -> None:
    inner = zipped({"x": b"\0" * (8 << 20)})
    tree = open_bytes(zipped({f"{n}.zip": inner for n in range(50)}))
    assert tree is not None
    found = unfold(tree, Limits(unpacked=20 * len(inner)))
    assert len(found.entries) == 20


def test_names_with_other_endings_or_numbers_are_taken_and_noted() -> None:
    tree = open_bytes(
        zipped({"Destination-Rule.yml": b"a: 1\n", "virtual-service-2.yaml": b"b: 2\n"})
    )
    assert tree is not None
    found = choose(tree, [A, B])
    assert found.files == FILES
    assert found.notes == [
        "Destination-Rule.yml was taken for destination-rule.yaml",
        "virtual-service-2.yaml was taken for virtual-service.yaml",
    ]


def test_two_folders_are_not_decided_by_chance() -> None:
    tree = open_bytes(zipped({f"{n}/{k}": v for n in "ab" for k, v in FILES.items()}))
    assert tree is not None
    with pytest.raises(RefusedError, match="two folders hold the files, a and b"):
        choose(tree, [A, B])
    better = open_bytes(zipped({f"a/{A}": b"", **FILES}))
    assert better is not None
    assert choose(better, [A, B]).files == FILES
