"""Products of matrices of lanes: equal to NumPy's, in an order that neither shape nor neighbours change."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from cortax.lanes.batched import LANES, add_products


@njit
def add(A, B, C):
    add_products(A, B, C)


def draw(n_terms, n, m, dtype, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (n_terms, n, LANES), (n_terms, m, LANES), (n, m, LANES)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9), st.integers(1, 9), st.integers(1, 9))
def test_equal_to_numpy_for_any_shape_and_any_strides(dtype, n_terms, n, m):
    A, B, C = draw(n_terms, n, m, dtype)
    expected = C.astype(np.float64) + np.einsum("pil,pjl->ijl", A, B, dtype=np.float64)
    turned = np.ascontiguousarray(B.transpose(1, 0, 2)).transpose(1, 0, 2)
    for right in (B, turned):
        found = C.copy()
        add(A, right, found)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-13)
    added = np.ascontiguousarray(C.transpose(1, 0, 2)).transpose(1, 0, 2)
    add(A, B, added)
    np.testing.assert_array_equal(added, found)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.permutations(range(LANES)))
def test_the_same_bits_in_any_lane_and_any_shape(n, m, order):
    A, B, C = draw(7, 9, 9, np.float32)
    whole = C.copy()
    add(A, B, whole)
    part = np.ascontiguousarray(C[:n, :m][..., order])
    add(*(np.ascontiguousarray(values[..., order]) for values in (A[:, :n], B[:, :m])), part)
    np.testing.assert_array_equal(part, whole[:n, :m][..., order])


def test_a_lane_of_nan_changes_no_other():
    A, B, C = draw(7, 9, 9, np.float32)
    whole = C.copy()
    add(A, B, whole)
    A[..., 3] = np.nan
    add(A, B, C)
    assert np.isnan(C[..., 3]).all()
    np.testing.assert_array_equal(np.delete(C, 3, axis=2), np.delete(whole, 3, axis=2))


_PROGRAM = """
import numpy as np
from numba import njit
from cortax.lanes.batched import HAS_FMA, LANES, add_products
assert not HAS_FMA
@njit
def add(A, B, C):
    add_products(A, B, C)
rng = np.random.default_rng(0)
A, B = (rng.normal(size=(7, 3, LANES)).astype(np.float32) for _ in range(2))
C, expected = (np.zeros((3, 3, LANES), np.float32) for _ in range(2))
for p in range(7):
    expected = expected + A[p][:, None] * B[p][None]
add(A, B, C)
assert (C == expected).all()
"""


def test_without_an_instruction_for_both_multiplication_and_addition_are_rounded_each():
    environment = {**os.environ, "NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "+sse4.2,+sse2"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
