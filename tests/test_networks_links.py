"""The strongest links: those of the sorted full list, whatever the order and however many are equal."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.errors import InputError
from cortax.workloads.network.links import TopLinks


def in_full(found, names):
    """The obvious way: all links, sorted."""
    rows = [
        (regulator, target, value)
        for target, values in found.items()
        for regulator, value in zip(names, values, strict=True)
        if regulator != target
    ]
    links = pd.DataFrame(rows, columns=["regulator", "target", "importance"])
    order = links.sort_values(["importance", "regulator", "target"], ascending=[False, True, True])
    return order.reset_index(drop=True)


def in_stream(found, names, k):
    top = TopLinks(k, names)
    for target, values in found.items():
        top.add(target, values)
    return top.links()


def agree(one, other):
    assert list(one["regulator"]) == list(other["regulator"])
    assert list(one["target"]) == list(other["target"])
    np.testing.assert_array_equal(one["importance"], other["importance"])


@settings(max_examples=60)
@given(
    n=st.integers(1, 12),
    k=st.integers(1, 40),
    n_values=st.sampled_from([1, 2, 3, 1000]),
    order=st.randoms(use_true_random=False),
)
def test_the_head_of_the_full_list_in_any_order(n, k, n_values, order):
    rng = np.random.default_rng(order.randrange(2**32))
    targets = [f"t{i}" for i in range(5)] + [f"g{i}" for i in range(n)]
    names = order.sample([f"g{i}" for i in range(n)] + ["t3"], n + 1)
    found = {target: rng.integers(0, n_values, n + 1) / 7 for target in order.sample(targets, len(targets))}
    agree(in_stream(found, names, k), in_full(found, names).head(k))


def test_asking_in_between_changes_nothing():
    rng = np.random.default_rng(1)
    names = [f"g{i}" for i in range(20)]
    found = {name: rng.random(20) for name in names}
    top = TopLinks(15, names)
    for target, values in found.items():
        top.add(target, values)
        assert len(top.links()) == min(15, 19 * (names.index(target) + 1))
    agree(top.links(), in_full(found, names).head(15))


def test_what_is_held_does_not_grow_with_what_is_added():
    rng = np.random.default_rng(2)
    names = tuple(f"g{i}" for i in range(1000))
    top = TopLinks(100, names)
    held = set()
    for target in names:
        top.add(target, rng.integers(0, 2, 1000))
        held.add(sum(len(importance) for importance, _, _ in top._parts))
    assert max(held) <= 1100
    assert (top.links()["importance"] == 1).all()


def test_nothing_is_a_table_too():
    links = TopLinks(3, []).links()
    assert list(links.columns) == ["regulator", "target", "importance"]
    assert links.empty


def test_what_is_refused():
    with pytest.raises(InputError, match="k must be at least 1, got 0"):
        TopLinks(0, ["a"])
    with pytest.raises(InputError, match="links to 'x': 2 importances without NaN"):
        TopLinks(1, ["a", "b"]).add("x", np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="links to 'x': 2 importances"):
        TopLinks(1, ["a", "b"]).add("x", np.array([1.0]))
