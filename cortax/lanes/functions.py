"""exp and log without calls, so that loops of them become vectors; for use in compiled code.

Both are within 2 units in the last place of the true value. They take and give what signals need: finite numbers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

__all__ = ["exp", "log", "multiply_add"]

# log 2 in two parts, the first with so few digits that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_PER_LN2 = 1.4426950408889634
# Added to a number, 1.5 * 2^52 leaves it rounded to a whole one, in the lowest bits.
_ROUND = 6755399441055744.0
# Beyond these, exp would leave the numbers of full precision.
_LEAST, _MOST = -708.0, 709.0
# The bits of 2^52; of 1.0; of a fraction; of the exponent of 1.0.
_TWO52, _ONE, _FRACTION, _BIAS = 0x4330000000000000, 0x3FF0000000000000, 0x000FFFFFFFFFFFFF, 1023
_ROOT2 = 1.4142135623730951


def _multiply_add(typing, x, y, z):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return x y + z, rounded once."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), make


def _as_whole(typing, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the bits of a float64."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), make


def _as_real(typing, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the float64 of these bits."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), make


multiply_add: Any = intrinsic(_multiply_add)
_bits: Any = intrinsic(_as_whole)
_from_bits: Any = intrinsic(_as_real)


@register_jitable
def exp(x: float) -> Any:
    """Return e^x, with x held between -708 and 709; NaN for NaN.

    x = k log 2 + r, |r| <= log(2) / 2; e^r by its Taylor polynomial of degree 13, whose error is below 1e-17.
    """
    x = _LEAST if x < _LEAST else x
    x = _MOST if x > _MOST else x
    shifted = multiply_add(x, _PER_LN2, _ROUND)
    k = shifted - _ROUND
    r = multiply_add(k, -_LN2_LOW, multiply_add(k, -_LN2_HIGH, x))
    p = multiply_add(r, 1 / 6227020800.0, 1 / 479001600.0)
    p = multiply_add(p, r, 1 / 39916800.0)
    p = multiply_add(p, r, 1 / 3628800.0)
    p = multiply_add(p, r, 1 / 362880.0)
    p = multiply_add(p, r, 1 / 40320.0)
    p = multiply_add(p, r, 1 / 5040.0)
    p = multiply_add(p, r, 1 / 720.0)
    p = multiply_add(p, r, 1 / 120.0)
    p = multiply_add(p, r, 1 / 24.0)
    p = multiply_add(p, r, 1 / 6.0)
    p = multiply_add(p, r, 0.5)
    p = multiply_add(p, r, 1.0)
    p = multiply_add(p, r, 1.0)
    return p * _from_bits((_bits(shifted) + _BIAS) << 52)


@register_jitable
def log(x: float) -> Any:
    """Return the natural logarithm of a positive number that is not subnormal.

    x = 2^k m, m between sqrt(1/2) and sqrt(2), and log m by the rational polynomial of FreeBSD's e_log.c.
    """
    bits = _bits(x)
    k = _from_bits((bits >> 52) | _TWO52) - 4503599627370496.0 - _BIAS
    m = _from_bits((bits & _FRACTION) | _ONE)
    large = m > _ROOT2
    m = 0.5 * m if large else m
    k = k + 1.0 if large else k
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    R = multiply_add(z, 1.479819860511658591e-01, 1.531383769920937332e-01)
    R = multiply_add(z, R, 1.818357216161805012e-01)
    R = multiply_add(z, R, 2.222219843214978396e-01)
    R = multiply_add(z, R, 2.857142874366239149e-01)
    R = multiply_add(z, R, 3.999999999940941908e-01)
    R = multiply_add(z, R, 6.666666666666735130e-01)
    R *= z
    half = 0.5 * f * f
    return multiply_add(k, _LN2_HIGH, -((half - multiply_add(s, half + R, k * _LN2_LOW)) - f))
