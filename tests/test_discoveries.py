"""Adjusted p-values: by hand, within families, and what they promise on nothing but nulls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from cortax.errors import SearchError
from cortax.learning.stats.comparisons import CORRECTIONS, adjust

P = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    family = ["one"] * 4
    np.testing.assert_allclose(adjust(p, family, "bh"), [0.02, 0.04, 0.04, 0.02])
    np.testing.assert_allclose(
        adjust(p, family, "by"), np.array([0.02, 0.04, 0.04, 0.02]) * (1 + 1 / 2 + 1 / 3 + 1 / 4)
    )
    np.testing.assert_allclose(adjust(p, family, "holm"), [0.03, 0.06, 0.06, 0.02])


@given(p=P)
def test_each_family_by_itself_and_nan_is_no_test(p):
    both = adjust([*p, np.nan, *p], ["a"] * len(p) + ["b"] * (len(p) + 1), "by")
    alone = false_discovery_control(p, method="by")
    np.testing.assert_array_equal(both[: len(p)], alone)
    np.testing.assert_array_equal(both[len(p) + 1 :], alone)
    assert np.isnan(both[len(p)])


@given(p=P, correction=st.sampled_from(sorted(CORRECTIONS)))
def test_adjusted_values_are_no_smaller_and_keep_the_order(p, correction):
    found = adjust(p, ["one"] * len(p), correction)
    assert (found >= np.array(p) - 1e-15).all()
    assert (found <= 1).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0).all()


@given(p=P)
def test_holm_is_its_definition(p):
    """The smallest level at which the step-down procedure rejects, found by trying all levels that matter."""

    def rejected(level):
        order, out = np.argsort(p, kind="stable"), np.zeros(len(p), bool)
        for step, place in enumerate(order):
            if p[place] * (len(p) - step) > level:
                break
            out[place] = True
        return out

    found = adjust(p, ["one"] * len(p), "holm")
    for level in found:
        if level < 1:
            np.testing.assert_array_equal(rejected(level), found <= level)


@pytest.mark.parametrize("correction", sorted(CORRECTIONS))
def test_of_nothing_but_nulls_a_family_has_a_discovery_in_one_of_twenty(correction):
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(2000, 1))  # tests of one family depend positively
    p = 1 - np.clip(rng.uniform(size=(2000, 12)), 0, 1)
    normal = 0.5 * shared + np.sqrt(0.75) * rng.normal(size=(2000, 12))
    dependent = np.argsort(np.argsort(-normal, axis=None)).reshape(normal.shape) / normal.size
    for found in (p, dependent):
        any_found = np.mean([(adjust(row, ["f"] * 12, correction) <= 0.05).any() for row in found])
        assert any_found <= 0.065  # 0.05 and three standard errors of 2,000 draws


def test_an_unknown_correction_is_refused():
    with pytest.raises(SearchError, match=r"correction of p-values: got 'bonf', must be one of \['bh', 'by', 'holm'\]"):
        adjust([0.1], ["a"], "bonf")
