from __future__ import annotations

from mesh.pilot.translate.blocks import SIZE, cut

NAMES = [f"service-{number:04}.shop.svc.cluster.local" for number in range(1000)]


def test_blocks_are_all_names_in_their_order() -> None:
    blocks = cut(NAMES)
    assert [name for block in blocks for name in block] == NAMES
    assert 1000 / SIZE / 2 < len(blocks) < 1000 / SIZE * 2
    assert cut([]) == []


def test_a_name_that_goes_changes_its_own_block_and_at_most_the_next() -> None:
    whole = set(cut(NAMES))
    for gone in NAMES[::37]:
        assert len(set(cut(name for name in NAMES if name != gone)) - whole) <= 1
