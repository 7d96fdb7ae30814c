"""The elastic net on a Gram matrix: optimality of every answer, from anywhere, whatever the columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.learning.search.linear.coordinate import SWEEPS, Net, descend_all, descend_kernel

NOTHING = np.empty((0, 0))


def a_problem(n_train, n_regions, *, seed=0, spoil=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_train, n_regions)) @ (rng.normal(size=(n_regions, n_regions)) / np.sqrt(n_regions) + 0.3)
    if spoil is not None:
        spoil(X)
    X -= X.mean(axis=0)
    y = X @ rng.normal(size=n_regions) * 0.3 / np.sqrt(n_regions) + rng.normal(size=n_train)
    y -= y.mean()
    return X, y, X.T @ X, X.T @ y


def descend(H, q, l1, l2, coef, *, tol, max_sweeps):
    found = coef.copy()
    ends = descend_kernel(H, q, Net(l1, l2, tol), found, q - H @ found, NOTHING, SWEEPS, max_sweeps)
    return found, *ends


def violation(H, q, l1, l2, coef):
    slope = q - H @ coef - l2 * coef
    zero = coef == 0
    return max(0.0, *np.where(zero, np.abs(slope) - l1, np.abs(slope - l1 * np.sign(coef))))


def objective(H, q, l1, l2, coef):
    return coef @ H @ coef / 2 - q @ coef + l1 * np.abs(coef).sum() + l2 / 2 * coef @ coef


@given(
    n_train=st.integers(2, 40),
    n_regions=st.integers(1, 60),
    strength=st.floats(-6, 1),
    ratio=st.sampled_from([0.0, 0.01, 0.3, 0.9, 0.999]),
    start=st.sampled_from([0.0, 1.0, 100.0]),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=100)
def test_optimal_from_anywhere(n_train, n_regions, strength, ratio, start, seed):
    _, _, H, q = a_problem(n_train, n_regions, seed=seed)
    largest = np.abs(q).max()
    l1, l2 = largest * 10**strength * ratio, largest * 10**strength * (1 - ratio)
    before = start * np.random.default_rng(seed).normal(size=n_regions)
    kept = before.copy()
    found, n_sweeps, converged = descend(H, q, l1, l2, before, tol=1e-8 * largest, max_sweeps=2000)
    assert converged
    assert 1 <= n_sweeps <= 2000
    np.testing.assert_array_equal(before, kept)
    assert violation(H, q, l1, l2, found) <= 1.01e-8 * largest


@pytest.mark.parametrize(("n_train", "n_regions"), [(60, 12), (40, 40), (20, 70), (80, 79)])
@pytest.mark.parametrize("strength", [0.3, 1e-2, 1e-4])
def test_without_a_ridge(n_train, n_regions, strength):
    _, _, H, q = a_problem(n_train, n_regions)
    l1 = strength * np.abs(q).max()
    found, _, converged = descend(H, q, l1, 0.0, np.zeros(n_regions), tol=1e-7 * l1, max_sweeps=3000)
    assert converged
    assert violation(H, q, l1, 0.0, found) <= 1.01e-7 * l1
    assert np.count_nonzero(found) <= min(n_train - 1, n_regions)


def duplicated(X):
    X[:, 3] = X[:, 2]
    X[:, 4] = -X[:, 2]
    X[:, 5] = X[:, 6] + X[:, 7]


def constant(X):
    X[:, 0] = 7.0
    X[:, 5] = 0.0


def nearly_constant(X):
    X[:, 1] *= 1e-9
    X[:, 2] *= 1e6


@pytest.mark.parametrize("spoil", [duplicated, constant, nearly_constant])
@pytest.mark.parametrize("n_train", [50, 8])
@pytest.mark.parametrize(("l1", "l2"), [(1e-2, 1e-6), (1e-6, 1e-2), (1e-4, 1e-8), (1e-2, 0.0), (0.0, 1e-3)])
def test_columns_that_say_nothing_new(spoil, n_train, l1, l2):
    _, _, H, q = a_problem(n_train, 12, spoil=spoil)
    largest = np.abs(q).max()
    found, _, converged = descend(H, q, l1 * largest, l2 * largest, np.zeros(12), tol=1e-9 * largest, max_sweeps=3000)
    assert converged
    assert violation(H, q, l1 * largest, l2 * largest, found) <= 1.01e-9 * largest


def test_zero_is_the_answer_to_a_large_penalty_and_to_nothing():
    _, _, H, q = a_problem(30, 10)
    largest = np.abs(q).max()
    found, n_sweeps, converged = descend(H, q, largest, 0.0, np.ones(10), tol=1e-12, max_sweeps=500)
    assert converged
    assert not found.any()
    found, n_sweeps, converged = descend(H, np.zeros(10), 0.0, 1.0, np.zeros(10), tol=0.0, max_sweeps=500)
    assert (n_sweeps, converged) == (1, True)
    assert not found.any()
    found, _, converged = descend(np.zeros((3, 3)), np.zeros(3), 0.1, 0.0, np.zeros(3), tol=0.0, max_sweeps=5)
    assert converged
    assert not found.any()


def test_what_has_not_converged_says_so():
    _, _, H, q = a_problem(100, 60)
    found, n_sweeps, converged = descend(H, q, 1e-3, 1e-6, np.zeros(60), tol=1e-8, max_sweeps=2)
    assert (n_sweeps, converged) == (2, False)
    assert violation(H, q, 1e-3, 1e-6, found) > 1e-8
    assert objective(H, q, 1e-3, 1e-6, found) < 0
    assert not descend(H, q, 1e-3, 1e-6, np.zeros(60), tol=0.0, max_sweeps=40)[2]


@given(
    n_train=st.integers(3, 40),
    n_regions=st.integers(1, 50),
    strength=st.floats(-5, 0),
    ratio=st.floats(0.01, 1),
    gap=st.sampled_from([1e-2, 1e-4, 1e-6]),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=60)
def test_the_gap_bounds_what_is_left_to_gain(n_train, n_regions, strength, ratio, gap, seed):
    _, y, H, q = a_problem(n_train, n_regions, seed=seed)
    l1, l2 = np.abs(q).max() * 10**strength * ratio, np.abs(q).max() * 10**strength * (1 - ratio)
    best, _, _ = descend(H, q, l1, l2, np.zeros(n_regions), tol=1e-9 * np.abs(q).max(), max_sweeps=3000)
    coef, gradient = np.zeros(n_regions), q.copy()
    net = Net(l1, l2, 0.0, gap * (y @ y), y @ y)
    _, converged = descend_kernel(H, q, net, coef, gradient, NOTHING, SWEEPS, 3000)
    assert converged
    assert objective(H, q, l1, l2, coef) - objective(H, q, l1, l2, best) <= gap * (y @ y)
    np.testing.assert_allclose(gradient, q - H @ coef, atol=1e-8 * np.abs(q).max())


@pytest.mark.parametrize("l1", [1e-1, 1e-2, 1e-3, 0.0])
def test_an_inverse_changes_nothing_but_the_way(l1):
    _, y, H, _ = a_problem(200, 80)
    rng = np.random.default_rng(0)
    Q = rng.normal(size=(5, 80)) @ H / 80
    l2 = 1e-2
    answers = []
    for inverse in (NOTHING, np.linalg.inv(H + l2 * np.eye(80))):
        coefs, gradients = np.zeros((5, 80)), Q.copy()
        n_sweeps, converged = np.zeros((2, 5), dtype=np.int64)
        squares = np.full(5, y @ y)
        net = Net(l1, l2, 0.0, 1e-13)
        descend_all(H, Q, net, coefs, gradients, inverse, squares, (0, 500), n_sweeps, converged)
        assert converged.all()
        answers.append(coefs)
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-6)
    for coef, q in zip(answers[1], Q, strict=True):
        assert violation(H, q, l1, l2, coef) < 1e-6


def test_the_same_bits_again():
    _, _, H, q = a_problem(100, 60)
    first, second = (descend(H, q, 1e-2, 1e-5, np.zeros(60), tol=1e-9, max_sweeps=500)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
