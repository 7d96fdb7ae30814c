"""tanh and the logistic function of lanes against NumPy's, NaN included."""

from fractions import Fraction

import numpy as np
import pytest
from numba import njit

from cortax.lanes.activations import hyperbolic_tangent, logistic, tanh_fraction


@njit(error_model="numpy")
def both(x):
    tangents, logistics = np.empty_like(x), np.empty_like(x)
    half = x.dtype.type(0.5)
    for k in range(len(x)):
        tangents[k] = hyperbolic_tangent(x[k])
        logistics[k] = logistic(x[k], half)
    return tangents, logistics


def every_size(dtype):
    sizes = np.concatenate([np.linspace(0, 10, 200_001), np.geomspace(1e-30, 1e30, 20_001)])
    return np.concatenate([-sizes[::-1], sizes]).astype(dtype)


def test_single_precision_is_within_six_units_in_the_last_place_of_the_true_value():
    x = every_size(np.float32)
    tangents, logistics = both(x)
    true = np.tanh(x.astype(np.float64))
    units = np.abs(tangents - true) / np.spacing(np.abs(true).astype(np.float32) + np.float32(1e-38))
    assert units.max() < 6.5
    assert np.abs(tangents - true).max() < 4e-7
    assert np.abs(logistics - (np.tanh(x.astype(np.float64) / 2) + 1) / 2).max() < 3e-7


def test_double_precision_is_that_of_the_c_library():
    x = every_size(np.float64)
    tangents, logistics = both(x)
    np.testing.assert_allclose(tangents, np.tanh(x), rtol=1e-15, atol=0)
    np.testing.assert_allclose(logistics, (np.tanh(x / 2) + 1) / 2, rtol=1e-15, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_stays_nan_infinity_is_one_and_zero_is_zero(dtype):
    tangents, logistics = both(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype))
    np.testing.assert_array_equal(np.isnan(tangents), [True, False, False, False, False])
    np.testing.assert_array_equal(np.isnan(logistics), [True, False, False, False, False])
    np.testing.assert_allclose(tangents[1:], [1, -1, 0, 0], atol=2e-7)
    np.testing.assert_allclose(logistics[1:], [1, 0, 0.5, 0.5], atol=2e-7)


def test_lamberts_fraction_is_exact_where_it_is_cut_late():
    p, q = tanh_fraction(13)
    x = Fraction(1, 2)
    found = x * sum(c * x ** (2 * k) for k, c in enumerate(p)) / sum(c * x ** (2 * k) for k, c in enumerate(q))
    assert abs(float(found) - np.tanh(0.5)) < 1e-16
    assert min(p + q) > 0
