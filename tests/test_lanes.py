"""Vectors in compiled code: exp and log against NumPy, sums of products against matrix products."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.lanes.functions import exp, log, multiply_add
from cortax.lanes.products import WIDTH, add_products, dot, padded, subtract_products


@numba.njit(error_model="numpy")
def exponentials(x, out):
    for k in range(len(x)):
        out[k] = exp(x[k])


@numba.njit(error_model="numpy")
def logarithms(x, out):
    for k in range(len(x)):
        out[k] = log(x[k])


@numba.njit(error_model="numpy")
def fused(x, y, z):
    return multiply_add(x, y, z)


@numba.njit(error_model="numpy")
def products(x, y):
    return dot(x, 0, y, 0, len(x))


def applied(function, x):
    out = np.empty_like(x)
    function(x, out)
    return out


def ulps(found, expected):
    return np.abs(found - expected) / np.spacing(np.abs(expected))


@settings(max_examples=200, deadline=None)
@given(st.floats(-708, 709))
def test_exp_is_numpys_to_two_units_in_the_last_place(x):
    found = applied(exponentials, np.array([x]))
    assert ulps(found, np.exp([x])) <= 2


def test_exp_over_its_range_and_beyond():
    x = np.linspace(-708, 709, 200_001)
    assert ulps(applied(exponentials, x), np.exp(x)).max() <= 2
    held = applied(exponentials, np.array([-1e300, -np.inf, 1e300, np.inf, np.nan, 0.0]))
    np.testing.assert_array_equal(held[[0, 1, 2, 3, 5]], applied(exponentials, np.array([-708.0, -708, 709, 709, 0])))
    assert np.isnan(held[4])
    assert held[5] == 1


@settings(max_examples=200, deadline=None)
@given(st.floats(min_value=1e-300, max_value=1e300))
def test_log_is_numpys_to_two_units_in_the_last_place(x):
    found = applied(logarithms, np.array([x]))
    assert ulps(found, np.log([x])) <= 2


def test_log_near_one():
    x = 1 + np.concatenate([-np.logspace(-16, -0.5, 400), np.logspace(-15, 3, 400)])
    away = x != 1
    assert ulps(applied(logarithms, x)[away], np.log(x[away])).max() <= 2
    assert applied(logarithms, np.ones(1))[0] == 0


def test_multiply_add_rounds_once():
    x = 1 + 2.0**-30
    assert fused(x, x, -(1 + 2.0**-29)) == 2.0**-60


@pytest.mark.parametrize(
    ("table", "sign", "shape"),
    [(add_products, 1, (1, 2)), (add_products, 1, (4, 1)), (add_products, 1, (4, 3)), (subtract_products, -1, (4, 3))],
)
def test_tiles_add_products(table, sign, shape):
    tile = table[shape]
    rows, columns = shape[0], shape[1] * WIDTH

    @numba.njit(error_model="numpy")
    def run(C, A, B, n):
        # C begins at its second row; A is read by columns.
        tile(C, C.shape[1], C.shape[1], A, 1, 1, A.shape[1], B, 2, B.shape[1], n)

    random = np.random.default_rng(0)
    C = random.normal(size=(rows + 2, columns))
    A, B = random.normal(size=(7, rows + 1)), random.normal(size=(7, columns + 2))
    expected = C.copy()
    expected[1 : rows + 1] += sign * A[:5, 1:].T @ B[:5, 2:]
    run(C, A, B, 5)
    np.testing.assert_allclose(C, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [0, 4, 100])
def test_dot(n):
    x, y = np.random.default_rng(0).normal(size=(2, n))
    assert products(x, y) == pytest.approx(x @ y, abs=1e-12)


def test_padding():
    assert [padded(n) for n in (0, 1, 4, 5)] == [0, 4, 4, 8]
    assert padded(45, 12) == 48
