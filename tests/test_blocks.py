"""Which targets are searched together: what was searched stays as it was, whatever comes and goes."""

from hypothesis import given
from hypothesis import strategies as st

from cortax.grid.planning.blocks import Block, cut_blocks, retired

NAMES = st.sampled_from(["age", "sex", "mood", "smoker", "fluid", "mood-and-1"])
TARGETS = st.dictionaries(NAMES, st.sampled_from([{"kind": "regression"}, {"kind": "classification"}]), min_size=1)
BLOCKS = st.lists(st.builds(Block, st.one_of(st.just(""), NAMES), TARGETS), max_size=5)


def live(block, targets):
    return {name for name in block.targets if name not in retired(block, targets)}


@given(TARGETS)
def test_with_nothing_known_all_targets_are_searched_together(targets):
    assert cut_blocks(targets, []) == [Block("", dict(sorted(targets.items())))]


@given(TARGETS, BLOCKS)
def test_every_target_is_in_exactly_one_block_as_it_is_now(targets, known):
    blocks = cut_blocks(targets, known)
    found = [name for block in blocks for name in live(block, targets)]
    assert sorted(found) == sorted(targets)
    assert len({block.name for block in blocks}) == len(blocks)
    assert [block.name for block in blocks] == sorted(block.name for block in blocks)


@given(TARGETS, BLOCKS)
def test_a_block_is_known_or_of_nothing_but_what_is_asked_for(targets, known):
    new = [block for block in cut_blocks(targets, known) if block.targets not in [one.targets for one in known]]
    assert len(new) <= 1
    assert all(not retired(block, targets) for block in new)


@given(TARGETS, BLOCKS)
def test_what_was_cut_is_cut_so_again(targets, known):
    blocks = cut_blocks(targets, known)
    assert cut_blocks(targets, blocks) == blocks
    assert cut_blocks(targets, blocks[::-1]) == blocks
    assert cut_blocks(dict(reversed(targets.items())), blocks) == blocks


@given(TARGETS, TARGETS, BLOCKS)
def test_growing_keeps_every_block(targets, more, known):
    before = cut_blocks(targets, known)
    # One that two blocks still hold from earlier can only come back in one of them.
    held = {name for block in before for name in block.targets}
    after = cut_blocks({**{name: new for name, new in more.items() if name not in held}, **targets}, before)
    assert [block for block in before if block not in after] == []
    added = [block for block in after if block not in before]
    # A target that is asked for again may be in a block that kept it.
    assert len(added) <= 1
    assert all(set(block.targets) <= set(more) - set(targets) for block in added)


@given(TARGETS, BLOCKS, st.data())
def test_fewer_targets_search_nothing_anew(targets, known, data):
    before = cut_blocks(targets, known)
    fewer = {name: targets[name] for name in data.draw(st.sets(st.sampled_from(sorted(targets)), min_size=1))}
    after = cut_blocks(fewer, before)
    assert [block for block in after if block not in before] == []
    assert cut_blocks(targets, [*after, *before]) == before, "taken back, it costs nothing"


def test_names_say_what_a_block_holds():
    one, other = {"kind": "regression"}, {"kind": "classification"}
    first = cut_blocks({"age": one, "sex": other}, [])
    second = cut_blocks({"age": one, "sex": other, "mood": one}, first)
    assert [block.name for block in second] == ["", "mood"]
    third = cut_blocks({"age": one, "sex": other, "mood": one, "iq": one, "fluid": one}, second)
    assert [block.name for block in third] == ["", "fluid-and-1", "mood"]
    changed = cut_blocks({"age": one, "sex": other, "mood": other}, second)
    assert [(block.name, block.targets) for block in changed] == [("", first[0].targets), ("mood", {"mood": other})]


def test_the_block_that_is_named_first_is_preferred():
    one = {"kind": "regression"}
    old, new = Block("", {"a": one, "b": one}), Block("b", {"b": one})
    assert cut_blocks({"a": one, "b": one}, [new, old]) == [Block("", {"a": one}), new]
    assert cut_blocks({"a": one, "b": one}, [old, new]) == [old]
