"""tanh and the logistic function without calls, so that loops of them become vectors; for use in compiled code."""

from __future__ import annotations

import math
from typing import Any

from numba import types
from numba.extending import overload, register_jitable

from cortax.lanes.batched import multiply_add

__all__ = ["hyperbolic_tangent", "logistic", "tanh_fraction"]

# From here on, tanh is 1 to the last bit of float32.
_LARGEST = 9.02
_N_LEVELS = 13


def tanh_fraction(n_levels: int) -> tuple[list[int], list[int]]:
    """Return the polynomials P and Q in x^2, lowest degree first, with tanh x = x P / Q but for what follows.

    Lambert's continued fraction, tanh x = x / (1 + x^2 / (3 + x^2 / (5 + ...))), cut after so many levels. By the
    recurrence of convergents, P_k = (2k - 1) P_(k-1) + x^2 P_(k-2), and Q alike: all coefficients are positive whole
    numbers, so that nothing cancels.

    >>> tanh_fraction(3)
    ([15, 1], [15, 6])
    """

    def step(factor: int, last: list[int], before: list[int]) -> list[int]:
        shifted = [0, *before]
        longer = max(len(last), len(shifted))
        pairs = zip(last + [0] * (longer - len(last)), shifted + [0] * (longer - len(shifted)), strict=True)
        return [factor * a + b for a, b in pairs]

    p, q = ([0], [1]), ([1], [1])
    for level in range(2, n_levels + 1):
        p, q = (p[1], step(2 * level - 1, p[1], p[0])), (q[1], step(2 * level - 1, q[1], q[0]))
    return tuple(_trimmed(values[1]) for values in (p, q))  # type: ignore[return-value]


def _trimmed(coefficients: list[int]) -> list[int]:
    while not coefficients[-1]:
        coefficients = coefficients[:-1]
    return coefficients


_P, _Q = tanh_fraction(_N_LEVELS)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = (value / _P[0] for value in _P)
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6 = (value / _P[0] for value in _Q)


def hyperbolic_tangent(x: Any) -> Any:
    """Return tanh x in the type of x, float32 or float64; NaN for NaN. For compiled code.

    float32: x P(x^2) / Q(x^2) of `tanh_fraction` with 13 levels, x held between -9.02 and 9.02; at most 4e-7 or 6 units
    in the last place from the true value (tests/test_lanes_activations.py). float64: that of the C library.
    """
    raise NotImplementedError("for compiled code only")


@overload(hyperbolic_tangent)
def _hyperbolic_tangent(x):  # type: ignore[no-untyped-def]
    if x != types.float32:

        def double(x):  # type: ignore[no-untyped-def]
            return math.tanh(x)

        return double
    one = types.float32

    def single(x):  # type: ignore[no-untyped-def]
        # Comparisons with NaN are false: it goes through.
        x = one(_LARGEST) if x > one(_LARGEST) else x
        x = one(-_LARGEST) if x < one(-_LARGEST) else x
        z = x * x
        p = multiply_add(one(_P6), z, one(_P5))
        p = multiply_add(p, z, one(_P4))
        p = multiply_add(p, z, one(_P3))
        p = multiply_add(p, z, one(_P2))
        p = multiply_add(p, z, one(_P1))
        p = multiply_add(p, z, one(_P0))
        q = multiply_add(one(_Q6), z, one(_Q5))
        q = multiply_add(q, z, one(_Q4))
        q = multiply_add(q, z, one(_Q3))
        q = multiply_add(q, z, one(_Q2))
        q = multiply_add(q, z, one(_Q1))
        q = multiply_add(q, z, one(_Q0))
        return x * p / q

    return single


@register_jitable
def logistic(x: Any, half: Any) -> Any:
    """Return 1 / (1 + e^-x) = tanh(x / 2) / 2 + 1/2. `half`: one half in the type of x."""
    return multiply_add(half, hyperbolic_tangent(half * x), half)
