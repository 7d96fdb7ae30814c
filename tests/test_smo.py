"""The solver of support vector machines: the optimum, by conditions that do not depend on how it was found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC, SVR

from cortax.learning.search.kernel import active, factor, pairs, rbf, smo

TASKS = ["regression", "classification"]


def a_problem(task, n, p, C, *, seed=0, epsilon=0.1, n_valid=7):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n + n_valid, p))
    y = X[:n, 0] + rng.normal(size=n)
    D = ((X[:n, None] - X[None]) ** 2).sum(axis=2).astype(np.float32)
    bounds = np.full(n, C)
    if task == "regression":
        return X, y, D, smo.Machine(y, -bounds, bounds, epsilon)
    ones = y > np.quantile(y, 0.6)
    return X, ones * 1, D, smo.Machine(2.0 * ones - 1, np.where(ones, 0, -bounds), np.where(ones, bounds, 0), 0.0)


def solved(machine, D, gamma, start=None, *, tol=1e-6, max_iter=10**7):
    n = len(machine.target)
    kernel = rbf.make_kernel(D, gamma, rbf.kernel_space(n))
    return smo.solve(machine, kernel, np.zeros(n) if start is None else start, tol=tol, max_iter=max_iter)


def objective(b, K, machine):
    return b @ K @ b / 2 - machine.target @ b + machine.epsilon * np.abs(b).sum()


def libsvm(task, C, gamma, tol=1e-8):
    return SVR(C=C, gamma=gamma, tol=tol) if task == "regression" else SVC(C=C, gamma=gamma, tol=tol)


def assert_optimal(found, machine, D, gamma, tol):
    """No pair gains more than tol, in double precision."""
    b, n = found.coefficients, len(machine.target)
    assert (b >= machine.low).all()
    assert (b <= machine.high).all()
    assert abs(b.sum()) <= 1e-9 * max(1e-9, np.abs(b).sum())
    gradient = np.expm1(-gamma * D[:, :n].astype(float)) @ b - machine.target
    up = np.where(b < machine.high, -gradient - np.where(b >= 0, 1, -1) * machine.epsilon, -np.inf)
    down = np.where(b > machine.low, -gradient - np.where(b > 0, 1, -1) * machine.epsilon, np.inf)
    assert up.max() - down.min() < tol + 1e-7 * np.abs(b).sum()


@pytest.mark.parametrize("task", TASKS)
@given(
    n=st.integers(2, 60),
    p=st.integers(1, 8),
    log_C=st.floats(-4, 4),
    log_gamma=st.floats(-6, 1),
    epsilon=st.sampled_from([0.0, 0.1, 2.0]),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=60)
def test_the_optimum_is_met(task, n, p, log_C, log_gamma, epsilon, seed):
    C, gamma = 10**log_C, 10**log_gamma
    _, _, D, machine = a_problem(task, n, p, C, seed=seed, epsilon=epsilon)
    found = solved(machine, D, gamma, tol=1e-5)
    assert found.converged
    assert_optimal(found, machine, D, gamma, 1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("C", "gamma"), [(1e-3, 0.1), (1.0, 0.02), (100.0, 0.3), (1e4, 1e-6), (1e4, 1e-3), (3.0, 5.0)])
def test_no_worse_than_libsvm(task, C, gamma):
    n = 150
    X, y, D, machine = a_problem(task, n, 4, C)
    model = libsvm(task, C, gamma).fit(X[:n], y)
    theirs = np.zeros(n)
    theirs[model.support_] = model.dual_coef_[0]
    mine = solved(machine, D, gamma, tol=1e-8).coefficients
    K = np.exp(-gamma * ((X[:n, None] - X[None, :n]) ** 2).sum(axis=2))
    best = objective(theirs, K, machine)
    assert objective(mine, K, machine) <= best + 1e-7 * abs(best)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("C", "gamma"), [(1e-3, 0.1), (1.0, 0.02), (50.0, 0.3), (1e3, 1e-4)])
def test_decisions_are_those_of_libsvm(task, C, gamma):
    n = 150
    X, y, D, machine = a_problem(task, n, 4, C)
    model = libsvm(task, C, gamma).fit(X[:n], y)
    expected = model.predict(X[n:]) if task == "regression" else model.decision_function(X[n:])
    found = solved(machine, D, gamma)
    decided = rbf.decide(D, gamma, found.coefficients, found.intercept)
    # Of single precision in libsvm's kernel, times coefficients of the size of C, this is left.
    np.testing.assert_allclose(decided, expected, rtol=0, atol=1e-5 + 2e-6 * C)


def test_a_small_gamma_costs_no_digits():
    C, gamma, n = 1e4, 1e-6, 200
    X, y, D, machine = a_problem("regression", n, 5, C)
    found = solved(machine, D, gamma, tol=1e-7)
    D64 = ((X[:n, None] - X[None]) ** 2).sum(axis=2)
    values = rbf.kernel_space(n).astype(np.float64)
    values[:n, :n] = np.expm1(-gamma * D64[:, :n])
    whole = rbf.Kernel(D, np.float32(-gamma), values, np.ones(len(values), bool))
    exact = smo.solve(machine, whole, np.zeros(n), tol=1e-9, max_iter=10**7)
    expected = np.expm1(-gamma * D64[:, n:]).T @ exact.coefficients + exact.intercept
    ours = np.abs(rbf.decide(D, gamma, found.coefficients, found.intercept) - expected).max()
    theirs = np.abs(SVR(C=C, gamma=gamma, tol=1e-7).fit(X[:n], y).predict(X[n:]) - expected).max()
    assert ours < 1e-5
    assert ours < theirs / 20


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("C", "gamma"), [(0.01, 0.1), (3.0, 0.05), (1e3, 1e-3), (1e3, 0.2)])
def test_any_start_leads_to_the_same_decisions(task, C, gamma):
    n = 120
    _, _, D, machine = a_problem(task, n, 4, C)
    rng = np.random.default_rng(3)
    start = np.clip(rng.normal(size=n) * C, machine.low, machine.high)
    start[start > 0] *= min(1, -start[start < 0].sum() / start[start > 0].sum())
    start[start < 0] *= min(1, -start[start > 0].sum() / start[start < 0].sum())
    decided = [
        rbf.decide(D, gamma, found.coefficients, found.intercept)
        for found in (solved(machine, D, gamma), solved(machine, D, gamma, start))
    ]
    np.testing.assert_allclose(decided[1], decided[0], rtol=0, atol=1e-5 + 3e-8 * C)


def test_a_coefficient_left_off_its_bound_by_rounding_does_not_choose_the_intercept():
    n, C, gamma = 60, 1e-3, 0.1
    _, _, D, machine = a_problem("regression", n, 3, C)
    expected = solved(machine, D, gamma)
    assert np.isin(np.abs(expected.coefficients), [0, C]).all()
    nudged = expected.coefficients * (1 - 1e-14)
    found = solved(machine, D, gamma, nudged, tol=1e-3)
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)
    assert found.intercept == pytest.approx(expected.intercept, abs=1e-9)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["minimise_from_guess", "minimise_free"])
def test_small_kernels_and_leaps_change_the_way_only(task, name, monkeypatch):
    n, C, gamma = 400, 300.0, 0.02
    _, _, D, machine = a_problem(task, n, 3, C)
    steps = [solved(machine, D, gamma).n_steps]
    expected = solved(machine, D, gamma, tol=1e-8)
    monkeypatch.setattr(smo, "_SMALL", 32)
    leaps, leap = [], getattr(smo, name)
    monkeypatch.setattr(smo, "minimise_from_guess", lambda *_: False)
    monkeypatch.setattr(smo, name, lambda *args: leaps.append(leap(*args)) or leaps[-1])
    for patience in (10**6, 2):
        monkeypatch.setattr(smo, "_PATIENCE", patience)
        assert not leaps
        found = solved(machine, D, gamma)
        steps.append(found.n_steps)
        assert found.converged
        decided = rbf.decide(D, gamma, found.coefficients, found.intercept)
        exact = rbf.decide(D, gamma, expected.coefficients, expected.intercept)
        np.testing.assert_allclose(decided, exact, rtol=0, atol=2e-5)
    assert True in leaps
    assert steps[2] < steps[1]


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_slopes_of_single_precision_change_the_way_only(scale, offset, monkeypatch):
    n, C, gamma, tol = 300, 100.0 * scale, 0.05, 1e-3
    _, _, D, machine = a_problem("regression", n, 3, C)
    machine = smo.Machine(scale * machine.target + offset, machine.low, machine.high, 0.1 * scale)
    kinds, move = [], smo.move_pairs
    monkeypatch.setattr(smo, "move_pairs", lambda *args: kinds.append(args[2].dtype.name) or move(*args))
    found = solved(machine, D, gamma, tol=tol)
    assert found.converged
    assert_optimal(found, machine, D, gamma, tol)
    assert "float32" in kinds
    kinds.clear()
    monkeypatch.setattr(smo, "_SINGLE", np.inf)
    assert_optimal(solved(machine, D, gamma, tol=tol), machine, D, gamma, tol)
    assert "float32" not in kinds


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize("total", [0.0, 3.0])
def test_a_guess_ends_at_the_minimum_or_where_it_began(epsilon, total):
    n, C, gamma, ends = 300, 20.0, 0.3, []
    _, _, D, machine = a_problem("regression", n, 6, C, epsilon=epsilon)
    K = np.expm1(-gamma * D[:, :n].astype(float))
    kernel = rbf.make_kernel(D, gamma, rbf.kernel_space(n))
    near = solved(machine, D, gamma, tol=0.1).coefficients
    for b in (near.copy(), np.random.default_rng(1).uniform(-C / 2, C / 2, n)):
        between = (np.abs(b) < 0.9 * C) & (b != 0)
        b[between] += (total - b.sum()) / between.sum()
        b, low, high = (np.pad(array, (0, rbf.padded(n) - n)) for array in (b, machine.low, machine.high))
        gradient = np.pad(K @ b[:n] - machine.target, (0, len(b) - n))
        at = pairs.Bounded(b.copy(), gradient.copy(), low, high, epsilon)
        ends.append(active.minimise_from_guess(kernel, at, 1e-4))
        np.testing.assert_allclose(at.gradient[:n], K @ at.b[:n] - machine.target, atol=1e-4)
        assert at.b.sum() == pytest.approx(total, abs=1e-6)
        assert ((low <= at.b) & (at.b <= high)).all()
        up = -at.gradient - np.where(at.b >= 0, epsilon, -epsilon)
        down = -at.gradient - np.where(at.b > 0, epsilon, -epsilon)
        if ends[-1]:
            assert up[at.b < high].max() - down[at.b > low].min() < 1.1e-4
        else:
            np.testing.assert_array_equal(at.b, b)
    assert ends[0]


@pytest.mark.parametrize("fine", [0, 10**6])
def test_a_factor_solves_for_rows_that_are_not_all_its_own(fine, monkeypatch):
    monkeypatch.setattr(factor, "_FINE", fine)
    n, gamma, rng = 200, 0.5, np.random.default_rng(0)
    _, _, D, _ = a_problem("regression", n, 4, 1.0)
    kernel = rbf.make_kernel(D, gamma, rbf.kernel_space(n))
    first = np.sort(rng.choice(n, 150, replace=False))
    others = np.setdiff1d(np.arange(n), first)
    last = factor.solver(kernel, None, first)
    changed = [first, first[4:], np.sort(np.append(first, others[:5])), np.sort(np.append(first[6:], others[:7]))]
    for rows in [*changed, others]:
        found = factor.solver(kernel, last, rows)
        assert (found.factor is last.factor) == (rows is not others)
        right = rng.normal(size=len(rows))
        x = found.solve(right)
        K = np.expm1(-gamma * D[np.ix_(rows, rows)].astype(float))
        left = right - K @ x - found.factor.ridge * x
        assert abs(x.sum()) < 1e-9 * np.abs(x).sum()
        assert np.abs(left - left.mean()).max() < 1e-6 * np.abs(x).max()
    assert factor.solver(kernel, None, first[:1]) is None


def test_newton_lands_on_the_minimum_between_bounds():
    rng = np.random.default_rng(0)
    n, gamma, C = 40, 0.3, 1.2
    _, _, D, machine = a_problem("regression", n, 3, C)
    kernel = rbf.make_kernel(D, gamma, rbf.kernel_space(n))
    b = np.zeros(rbf.padded(n))
    b[:n] = rng.uniform(-0.1, 0.1, n)
    b[:n] -= b[:n].mean()
    low, high = (np.pad(bound, (0, len(b) - n)) for bound in (machine.low, machine.high))
    gradient = np.pad(-machine.target, (0, len(b) - n))
    rbf.add_rows(kernel, np.arange(n), b[:n], gradient)
    assert active.minimise_free(kernel, pairs.Bounded(b, gradient, low, high, 0.0), -gradient)
    assert abs(b.sum()) < 1e-9
    met = (b[:n] == low[:n]) | (b[:n] == high[:n])
    assert 0 < met.sum() < n
    free = gradient[:n][~met]
    np.testing.assert_allclose(free, free.mean(), atol=1e-4)
    expected = np.expm1(-gamma * D[:, :n].astype(float)) @ b[:n] - machine.target
    np.testing.assert_allclose(gradient[:n], expected, atol=1e-5)


def test_steps_are_bounded_and_what_is_not_solved_says_so():
    _, _, D, machine = a_problem("regression", 80, 3, 100.0)
    for max_iter in (0, 1, 7, 100):
        found = solved(machine, D, 0.1, max_iter=max_iter)
        assert not found.converged
        assert found.n_steps == max_iter
        assert found.gap > 1e-6
    assert solved(machine, D, 0.1).converged


@given(st.floats(0, 1e4, width=32), st.floats(1e-7, 10))
@settings(deadline=None, max_examples=200)
def test_kernel_values(distance, gamma):
    D = np.zeros((2, 3), np.float32)
    D[0, 1] = D[1, 0] = D[0, 2] = distance
    kernel = rbf.make_kernel(D, gamma, rbf.kernel_space(2))
    small = rbf.small_kernel(kernel, np.array([0, 1]))
    exact = np.expm1(-np.float64(np.float32(gamma)) * np.float64(distance))
    assert small.values[0, 1] == pytest.approx(exact, rel=1e-6, abs=1e-37)
    assert small.values[0, 0] == 0
    assert rbf.decide(D, gamma, np.array([2.0, 0.0]), 0.5)[0] == pytest.approx(2 * exact + 0.5, rel=1e-6, abs=1e-6)
    assert not rbf.make_kernel(D, gamma, kernel.values).filled[:2].any()


def test_huge_and_tiny_gammas_are_no_trouble():
    for gamma in (1e-300, 1e-40, 1e35, 1e300):
        _, _, D, machine = a_problem("regression", 30, 2, 1.0)
        found = solved(machine, D, gamma)
        assert found.converged
        assert np.isfinite(rbf.decide(D, gamma, found.coefficients, found.intercept)).all()


def test_the_intercept_is_the_mean_of_free_rows_or_the_middle_of_the_others():
    up, down = np.array([1.0, -np.inf, 2.0, 0.5]), np.array([1.0, 7.0, 2.0, np.inf])
    assert smo._intercept(up, down) == 1.5
    up[[0, 2]] = -np.inf
    assert smo._intercept(up, down) == (0.5 + 1.0) / 2
