"""Which targets are searched together: what was searched stays as it was, whatever comes and goes."""

from hypothesis import given
from hypothesis import strategies as st

from cortax.workflow.plan.blocks import Block, cut_blocks, retired

NAMES = st.sampled_from(["age", "sex", "mood", "smoker", "fluid", "mood-and-1"])
TARGETS = st.dictionaries(NAMES, st.sampled_from([{"kind": "regression"}, {"kind": "classification"}]), min_size=1)
BLOCKS = st.lists(st.builds(Block, st.one_of(st.just(""), NAMES), TARGETS), max_size=5)


def later(known, blocks):
    """What is known once these blocks are searched: the newest first."""
    return [block for block in blocks if block.targets not in [one.targets for one in known]] + list(known)


def taken(blocks):
    return [(block.targets, block.takes) for block in blocks]


@given(TARGETS)
def test_with_nothing_known_all_targets_are_searched_together(targets):
    assert cut_blocks(targets, []) == [Block("", targets, tuple(sorted(targets)))]


@given(TARGETS, BLOCKS)
def test_every_target_is_taken_from_one_block_as_it_is_now(targets, known):
    blocks = cut_blocks(targets, known)
    found = [(name, block.targets[name]) for block in blocks for name in block.takes]
    assert sorted(name for name, _ in found) == sorted(targets)
    assert dict(found) == targets
    assert all(block.takes for block in blocks)
    assert len({block.name for block in blocks}) == len(blocks)
    assert [block.name for block in blocks] == sorted(block.name for block in blocks)


@given(TARGETS, BLOCKS)
def test_what_is_searched_anew_is_what_no_known_block_holds(targets, known):
    new = [block for block in cut_blocks(targets, known) if block.targets not in [one.targets for one in known]]
    held = {name for block in known for name in block.targets.keys() - retired(block, targets).keys()}
    assert sorted(name for block in new for name in block.targets) == sorted(targets.keys() - held)
    assert len(new) <= 1


@given(TARGETS, BLOCKS)
def test_what_was_cut_is_cut_so_again(targets, known):
    blocks = cut_blocks(targets, known)
    again = later(known, blocks)
    assert taken(cut_blocks(targets, again)) == taken(blocks)
    assert cut_blocks(dict(reversed(targets.items())), again) == cut_blocks(targets, again)


@given(TARGETS, TARGETS, BLOCKS)
def test_growing_keeps_every_block(targets, more, known):
    """Also by a target that comes back, and that several blocks hold."""
    before = cut_blocks(targets, known)
    grown = {**more, **targets}
    after = cut_blocks(grown, later(known, before))
    for block in before:
        (same,) = [one for one in after if one.targets == block.targets]
        assert set(block.takes) <= set(same.takes)
        assert set(same.takes) - set(block.takes) <= set(more) - set(targets)
    added = [block for block in after if block.targets not in [one.targets for one in later(known, before)]]
    assert len(added) <= 1
    assert all(set(block.targets) <= set(more) - set(targets) for block in added)


@given(TARGETS, BLOCKS, st.data())
def test_fewer_targets_search_nothing_anew(targets, known, data):
    before = cut_blocks(targets, known)
    fewer = {name: targets[name] for name in data.draw(st.sets(st.sampled_from(sorted(targets)), min_size=1))}
    known = later(known, before)
    after = cut_blocks(fewer, known)
    assert all(block.targets in [one.targets for one in before] for block in after)
    assert later(known, after) == known
    assert taken(cut_blocks(targets, known)) == taken(before), "taken back, it costs nothing"


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
    assert cut_blocks({"a": one, "b": one}, [old, new]) == [Block("", old.targets, ("a", "b"))]
    assert cut_blocks({"a": one, "b": one}, [new, old]) == [
        Block("", old.targets, ("a",)),
        Block("b", new.targets, ("b",)),
    ]


def test_a_target_that_comes_back_takes_nothing_from_the_others():
    """Two blocks hold `x` from earlier; each of them answers for another target, too."""
    one = {"kind": "regression"}
    first, second = Block("", {"a": one, "x": one}), Block("b", {"b": one, "x": one})
    assert taken(cut_blocks({"a": one, "b": one}, [second, first])) == [
        ({"a": one, "x": one}, ("a",)),
        ({"b": one, "x": one}, ("b",)),
    ]
    assert taken(cut_blocks({"a": one, "b": one, "x": one}, [second, first])) == [
        ({"a": one, "x": one}, ("a",)),
        ({"b": one, "x": one}, ("b", "x")),
    ]
