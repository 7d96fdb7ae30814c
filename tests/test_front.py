"""The front end: scikit-learn's bits at a fraction of the time, and quantiles of columns that have moved a little."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import RobustScaler

from cortax.learning.search.front import fit_front, moved_quantiles
from cortax.learning.search.pipelines import make_front
from cortax.learning.search.reference import columns


@pytest.mark.parametrize("n_confounds", [0, 2])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_train", "n_regions"), [(1, 70), (2, 70), (3, 1), (21, 70), (40, 1), (40, 65), (101, 70)])
def test_every_bit_is_that_of_the_pipeline(n_confounds, holes, dtype, n_train, n_regions):
    rng = np.random.default_rng(n_train)
    n = n_train + 9
    regions = rng.normal(size=(n, 70)) * rng.uniform(0.1, 1e3, 70) + rng.uniform(-1e3, 1e3, 70)
    regions[:, 3] = 5.0
    regions[:, 4] = regions[:, 5]
    regions[:, 6] = np.round(rng.normal(size=n) > 1.9)
    if holes:
        regions[rng.random(regions.shape) < 0.1] = np.nan
        regions[:, 7] = np.nan
    regions = np.ascontiguousarray(regions[:, :n_regions].astype(dtype))
    confounds = rng.normal(size=(n, n_confounds)) if n_confounds else None
    train, valid = np.arange(n_train), np.arange(n_train, n)
    front, X, X_valid = fit_front(regions, confounds, train, valid)
    both, _ = columns(regions, confounds)
    plain = make_front(n_confounds)
    np.testing.assert_array_equal(X, plain.fit_transform(both[train]))
    np.testing.assert_array_equal(X_valid, plain.transform(both[valid]))
    np.testing.assert_array_equal(front.center, plain[-1].center_)
    np.testing.assert_array_equal(front.scale, plain[-1].scale_)
    assert (front.regressor is None) == (not n_confounds)


@pytest.mark.parametrize("confounds", [None, np.ones((12, 1))])
def test_infinity_is_refused(confounds):
    regions = np.random.default_rng(0).normal(size=(12, 3))
    regions[2, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        fit_front(regions, confounds, np.arange(8), np.arange(8, 12))


@given(
    n=st.integers(3, 80),
    lost=st.floats(0, 0.9),
    rank=st.integers(0, 3),
    change=st.sampled_from([0.0, 1e-12, 0.01, 0.3, 30.0]),
    digits=st.sampled_from([0, 1, 12]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=150)
def test_moved_quantiles_are_those_of_the_moved_columns(n, lost, rank, change, digits, seed):
    rng = np.random.default_rng(seed)
    columns = np.round(rng.normal(size=(n, 5)), digits)
    columns[:, 4] = 2.0
    kept = rng.random(n) >= lost
    kept[rng.choice(n, 2, replace=False)] = True
    W = np.column_stack([np.ones(n), rng.normal(size=(n, rank))])
    delta = rng.normal(size=(rank + 1, 5)) * change
    rows = np.argsort(columns.T, axis=1).astype(np.int32)
    places = np.argsort(rows, axis=1).astype(np.int32)
    values = np.take_along_axis(columns.T, rows, axis=1)
    reach = np.sqrt((W[:, 1:] ** 2).sum(axis=1).max())
    center, scale = moved_quantiles((values, rows, places), kept, W, delta, reach)
    moved = columns[kept] - W[kept] @ delta
    plain = RobustScaler(quantile_range=(5.0, 95.0)).fit(moved)
    size = np.abs(moved).max(axis=0)
    if not change:
        np.testing.assert_array_equal(center, plain.center_)
        np.testing.assert_array_equal(scale, plain.scale_)
    assert (np.abs(center - plain.center_) <= 1e-13 * size).all()
    # A range of rounding alone counts as 1, on whichever side of the limit.
    real = plain.scale_ != 1
    assert (np.abs(scale - plain.scale_) <= 1e-13 * size)[real].all()


@pytest.mark.parametrize(("n_train", "n_valid"), [(0, 5), (5, 0)])
def test_rows_are_needed(n_train, n_valid):
    with pytest.raises(ValueError, match=f"there are {n_train} rows to fit on and {n_valid} to predict"):
        fit_front(np.ones((9, 2)), None, np.arange(n_train), np.arange(n_valid))
