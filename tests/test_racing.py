"""The rules of a race: their variances and probabilities are those that they say."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.learning.search.trees.racing import cannot_win, compare, is_worse, smooth, tree_counts


def accuracy_of(y):
    return lambda rows, decisions: np.mean((decisions > 0) == (y[rows] > 0), axis=1)


def test_the_variance_of_a_difference_is_that_of_new_subjects():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        y = rng.normal(size=300)
        ours, theirs = y + rng.normal(size=(2, 300)) * [[1.0], [1.3]]
        found.append(compare(accuracy_of(y), ours, theirs))
    differences, variances = np.array(found).T
    assert differences.mean() == pytest.approx(0.75 - 0.7087, abs=0.005)
    assert variances.mean() == pytest.approx(differences.var(), rel=0.15)


def test_pairs_matter_and_units_do_not():
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    noisy = y + rng.normal(size=200)
    difference, variance = compare(accuracy_of(y), noisy, noisy * 7)
    assert difference == variance == 0
    assert not is_worse(difference, variance, 0.05)
    assert not cannot_win([difference], [variance], 3, 0.05)


def test_few_subjects_have_few_groups():
    y = np.array([-1.0, 1.0, 1.0])
    difference, variance = compare(accuracy_of(y), y, -y)
    assert difference == 1
    assert variance == 0


def test_a_score_that_is_not_there_drops_nothing():
    difference, variance = compare(lambda rows, both: np.full(2, np.nan), np.zeros(30), np.ones(30))
    assert np.isnan([difference, variance]).all()
    assert not is_worse(difference, variance, 0.05)
    assert not cannot_win([0.5, difference], [0.1, variance], 3, 0.05)


@pytest.mark.parametrize("seen", [1, 2])
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_what_is_dropped_would_have_won_as_seldom_as_the_level_says(seen, level):
    """With no belief about the true difference before: it is drawn from what the seen folds say."""
    rng = np.random.default_rng(0)
    n_folds, variance, n = 3, 0.3, 20_000
    # A mean difference of the seen folds just at the edge of being dropped.
    low, high = 0.0, 10.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if cannot_win([middle] * seen, [variance] * seen, n_folds, level) else (middle, high)
    truth = high + rng.normal(size=n) * np.sqrt(variance / seen)
    to_come = truth[:, None] + rng.normal(size=(n, n_folds - seen)) * np.sqrt(variance)
    won = (seen * high + to_come.sum(axis=1)) / n_folds < 0
    # The variance is an estimate, for which t is more careful than the normal distribution of this simulation.
    assert 0.5 * level < won.mean() < 1.02 * level


def test_when_all_folds_are_seen_the_better_one_has_won():
    assert cannot_win([0.1, -0.05, 0.0], [9.0] * 3, 3, 0.05)
    assert not cannot_win([0.1, -0.15, 0.0], [9.0] * 3, 3, 0.05)


@settings(deadline=None, max_examples=100)
@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 0.4))
def test_stricter_levels_drop_less(difference, variance, level):
    assert cannot_win([difference], [variance], 3, level) <= cannot_win([difference], [variance], 3, level + 0.05)
    assert is_worse(difference, variance, level) <= is_worse(difference, variance, level + 0.05)
    # One fold more to come is more to win.
    assert cannot_win([difference], [variance], 4, level) <= cannot_win([difference], [variance], 3, level)
    if cannot_win([difference], [variance], 3, level):
        assert difference > 0


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 600), st.integers(0, 600), st.floats(1.01, 3))
def test_numbers_of_trees_rise_from_end_to_end(low, more, ratio):
    counts = tree_counts(low, low + more, ratio)
    assert (counts[0], counts[-1]) == (low, low + more)
    for before, after in itertools.pairwise(counts):
        assert before < after <= max(before * ratio, before + 1)


def test_smoothing_takes_the_neighbours_that_there_are():
    found = smooth(np.array([[1.0, 2, 6, 3, 0, 9], [5, 5, 5, 5, 5, 5]]), width=1)
    np.testing.assert_allclose(found, [[1.5, 3, 11 / 3, 3, 4, 4.5], [5] * 6])
    np.testing.assert_array_equal(smooth(np.array([[7.0]])), [[7.0]])


@pytest.mark.parametrize("ends", [(0, 4), (5, 4)])
def test_numbers_of_trees_need_ends(ends):
    with pytest.raises(ValueError, match="1 <= low <= high"):
        tree_counts(*ends)
