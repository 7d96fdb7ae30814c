"""Statistics of training sets that differ by few rows: those of the columns made one training set at a time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.learning.folds import make_folds
from cortax.learning.search import gram
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import fit_front
from cortax.learning.search.gram import make_pool, make_statistics
from cortax.learning.search.training import TrainingSet, training_sets


def assert_same(found, expected, weights, Y, rtol=1e-10):
    """Compare a training set made by sums with one made by columns."""
    front = expected.front
    np.testing.assert_allclose(found.front.scale, front.scale, rtol=rtol)
    size = np.abs(front.center) + front.scale
    assert (np.abs(found.front.center - front.center) <= rtol * size).all()
    np.testing.assert_allclose(found.means, expected.means, rtol=0, atol=rtol * 10)
    length = np.sqrt(np.diag(expected.gram)) + 1e-3
    assert (np.abs(found.gram - expected.gram) <= rtol * np.outer(length, length)).all()
    np.testing.assert_array_equal(found.gram, found.gram.T)
    columns = expected.X - expected.means
    np.testing.assert_allclose(found.centred(), columns, rtol=0, atol=rtol * (1 + np.abs(columns).max()))
    error = np.abs(found.cross(Y) - expected.cross(Y))
    assert (error <= rtol * length[:, None] * np.linalg.norm(Y - Y.mean(axis=0), axis=0)).all()
    projected = weights @ expected.X_valid.T
    np.testing.assert_allclose(found.project(weights), projected, rtol=0, atol=rtol * (1 + np.abs(projected).max()))
    assert (found.front.regressor is None) == (front.regressor is None)
    if front.regressor is not None:
        np.testing.assert_array_equal(found.front.regressor.explained_, front.regressor.explained_)
        unexplained = ~front.regressor.explained_
        for name in ("coef_", "intercept_"):
            mine, theirs = (getattr(f.regressor, name)[..., unexplained] for f in (found.front, front))
            np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=rtol * np.abs(theirs).max(initial=1))


def compare(regions, confounds, train, valid, kept, shown, rtol=1e-10):
    """Return whether there were statistics to compare."""
    pool = make_pool(regions, confounds, train, valid)
    made = None if pool is None else make_statistics(pool, kept, shown)
    if made is None:
        return False
    rows, held_out = train[kept], valid[shown]
    front, X, X_valid = fit_front(regions, confounds, rows, held_out)
    expected = TrainingSet.of((front, X, X_valid), rows, held_out)
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(len(rows), 3)) + X[:, :1]
    assert_same(made, expected, rng.normal(size=(4, X.shape[1])), Y, rtol)
    return True


def some_rows(rng, n, lost):
    kept = rng.random(n) >= lost
    kept[0] = True
    return kept


@given(
    n_train=st.integers(20, 90),
    n_regions=st.integers(1, 40),
    n_confounds=st.integers(0, 4),
    lost=st.sampled_from([0.0, 0.02, 0.1, 0.6]),
    spoil=st.sampled_from(["", "offset", "collinear", "constant", "explained", "rare", "holes", "ties"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10_000),
)
@settings(deadline=None, max_examples=150)
def test_statistics_are_those_of_the_columns(n_train, n_regions, n_confounds, lost, spoil, dtype, seed):
    rng = np.random.default_rng(seed)
    n = n_train + 15
    regions = rng.normal(size=(n, n_regions)) @ rng.normal(size=(n_regions, n_regions)) * 3
    confounds = rng.normal(size=(n, n_confounds)) * 10.0 ** rng.integers(-1, 3, n_confounds) if n_confounds else None
    first, rtol = rng.integers(n_regions), 1e-9
    if n_confounds:
        regions += confounds @ (rng.normal(size=(n_confounds, n_regions)) / confounds.std(axis=0)[:, None])
    if spoil == "offset":
        regions += 1e6
        rtol = 1e-8
    if spoil == "collinear" and n_confounds:
        confounds = np.column_stack([confounds, confounds @ np.arange(1, n_confounds + 1), np.full(n, 3.0)])
    if spoil == "constant":
        regions[:, first] = 1.5
    if spoil == "explained" and n_confounds:
        regions[:, first] = confounds[:, 0] * 2 + 1
    if spoil == "rare":
        regions[:, first] = 0
        regions[rng.choice(n, 2), first] = 1.0
    if spoil == "holes":
        regions[rng.random(n) < 0.1, first] = np.nan
    if spoil == "ties":
        regions = np.round(regions)
    if dtype == np.float32 and spoil != "explained":
        regions = regions.astype(dtype)
    order = rng.permutation(n)
    train, valid = np.sort(order[:n_train]), np.sort(order[n_train:])
    compare(regions, confounds, train, valid, some_rows(rng, n_train, lost), some_rows(rng, 15, lost), rtol)


def a_cohort(n=160, n_regions=12, seed=0):
    rng = np.random.default_rng(seed)
    confounds = np.column_stack([rng.normal(size=n) * 1e5 + 1e6, rng.random(n) < 0.5, rng.uniform(20, 80, n)])
    regions = rng.normal(size=(n, n_regions)) + confounds @ rng.normal(size=(3, n_regions)) / [1e5]
    return rng, regions, confounds, np.arange(120), np.arange(120, n)


def test_the_usual_case_is_done_by_sums():
    rng, regions, confounds, train, valid = a_cohort()
    for lost in (0.0, 0.02, 0.3, 0.7):
        for C in (None, confounds):
            kept, shown = some_rows(rng, 120, lost), some_rows(rng, 40, lost)
            assert compare(regions, C, train, valid, kept, shown)
            assert compare(regions.astype(np.float32), C, train, valid, kept, shown)


def test_hard_columns_go_the_direct_way():
    rng, regions, confounds, train, valid = a_cohort(n_regions=40)
    kept, shown = some_rows(rng, 120, 0.05), some_rows(rng, 40, 0.05)
    gone = np.flatnonzero(~kept)
    regions[:, 0] = 4.0
    regions[:, 1] = confounds @ [1e-5, 2.0, 3.0]
    regions[:, 2] = 0.0
    regions[gone[:3], 2] = 5.0  # constant in the rows kept
    regions[:, 3] = confounds[:, 2]
    regions[gone[0], 3] += 50.0  # explained in the rows kept
    regions[5, 4] = np.nan
    regions[130, 5] = np.nan
    regions[:, 6] = np.nan
    regions[gone[0], 7] = 1e7  # nearly all of its squares
    for C in (confounds, None):
        pool = make_pool(regions, C, train, valid)
        made = make_statistics(pool, kept, shown)
        assert set(made.hard) >= {0, 2, 4, 5, 6, 7}
        assert len(made.hard) <= 8
        assert compare(regions, C, train, valid, kept, shown)


def test_far_from_zero_nothing_of_means_and_confounds_is_left():
    _, regions, confounds, train, valid = a_cohort()
    pool = make_pool(regions + 1e6, confounds, train, valid)
    assert np.abs(pool.W[:120].T @ pool.Z[:120]).max() < 1e-11


def test_what_sums_cannot_do_is_left():
    rng, regions, confounds, train, valid = a_cohort()
    everybody, shown = np.ones(120, bool), np.ones(40, bool)
    assert make_pool(regions[:, :8], confounds, train[:7], valid) is None
    assert make_pool(np.full_like(regions, 3.0), confounds, train, valid) is None
    near = np.column_stack([confounds, confounds[:, 2] + 1e-7 * rng.normal(size=160)])
    assert make_pool(regions, near, train, valid) is None
    holes = confounds.copy()
    holes[3, 1] = np.nan
    assert make_pool(regions, holes, train, valid) is None
    rare = confounds.copy()
    rare[:, 1] = 0
    rare[[3, 4], 1] = 1
    pool = make_pool(regions, rare, train, valid)
    assert make_statistics(pool, everybody, shown) is not None
    kept = everybody.copy()
    kept[[3, 4]] = False
    assert make_statistics(pool, kept, shown) is None
    assert make_statistics(pool, np.arange(120) < 10, shown) is None


def test_a_site_that_is_only_predicted_keeps_the_smallest_coefficients():
    rng, regions, _, train, valid = a_cohort()
    sites = np.eye(4)[np.where(np.arange(160) < 120, rng.integers(0, 3, 160), rng.integers(0, 4, 160))]
    assert compare(regions, sites, train, valid, some_rows(rng, 120, 0.05), np.ones(40, bool))


def a_problem(own_rows=True, **more):
    rng, regions, confounds, _, _ = a_cohort()
    Y = rng.normal(size=(160, 5))
    if own_rows:
        Y[rng.random(Y.shape) < 0.05] = np.nan
    arguments = {
        "regions": regions.astype(np.float32),
        "targets": Y,
        "tasks": ("regression",) * 5,
        "names": tuple("abcde"),
        "folds": make_folds(np.arange(160), n_outer=2, n_inner=2, seed=0),
        "kind": "ridge",
        "configs": {"regression": [{}]},
        "confounds": confounds,
    }
    return Problem(**{**arguments, **more})


def all_sets(problem):
    told = []
    train, valid = ~problem.folds.test[0] & ~problem.folds.valid[0][0], problem.folds.valid[0][0]
    made = list(training_sets(problem, range(5), train, valid, lambda *what: told.append(what)))
    return made, told


def test_columns_are_the_direct_ones_whatever_else_is_asked_for():
    for first in ("X", "gram"):
        made, told = all_sets(a_problem())
        assert not told
        assert len(made) == 5
        for part, group in made:
            getattr(part, first)
            assert part.statistics is not None
            problem = a_problem()
            known = ~np.isnan(problem.targets[:, group[0]])
            assert known[part.train].all()
            _, X, X_valid = fit_front(problem.regions, problem.confounds, part.train, part.valid)
            np.testing.assert_array_equal(part.X, X)
            np.testing.assert_array_equal(part.X_valid, X_valid)


def test_the_order_of_asking_changes_nothing():
    once, again = all_sets(a_problem())[0], all_sets(a_problem())[0][::-1]
    for (part, group), (other, same) in zip(once, again[::-1], strict=True):
        assert group == same
        front, means, columns = part.front, part.means, part.X
        np.testing.assert_array_equal(part.gram, other.gram)
        np.testing.assert_array_equal(part.centred(), other.centred())
        np.testing.assert_array_equal(means, other.means)
        np.testing.assert_array_equal(front.scale, other.front.scale)
        np.testing.assert_array_equal(columns, other.X)


def test_one_pass_over_the_rows_that_are_shared(monkeypatch):
    calls = []
    monkeypatch.setattr(gram, "fit_front", lambda *a: calls.append(a))
    for part, _ in all_sets(a_problem())[0]:
        assert part.gram.shape == (12, 12)
    assert not calls


def test_shared_rows_make_one_set_by_columns():
    made, _ = all_sets(a_problem(own_rows=False))
    assert [group for _, group in made] == [[0, 1, 2, 3, 4]]
    assert made[0][0].statistics is None


def test_infinity_is_told_for_every_target():
    problem = a_problem()
    regions = problem.regions.copy()
    regions[:, 2] = np.inf
    made, told = all_sets(replace(problem, regions=regions))
    assert not made
    assert [target for target, *_ in told] == [0, 1, 2, 3, 4]
    assert all(isinstance(error, ValueError) for *_, error in told)


def test_a_target_without_rows_is_told_alone():
    problem = a_problem()
    Y = problem.targets.copy()
    Y[:, 1] = np.nan
    made, told = all_sets(replace(problem, targets=Y))
    assert [group for _, group in made] == [[0], [2], [3], [4]]
    assert [target for target, *_ in told] == [1]


@pytest.mark.parametrize("n_regions", [12, 200])
def test_missing_values_and_wide_sets_work_too(n_regions):
    rng, regions, *_ = a_cohort(n_regions=n_regions)
    regions[rng.random(regions.shape) < 0.3] = np.nan
    made, told = all_sets(a_problem(regions=regions))
    assert not told
    for part, _ in made:
        assert part.statistics is None
        np.testing.assert_allclose(part.gram, (part.X - part.means).T @ (part.X - part.means), atol=1e-9)
