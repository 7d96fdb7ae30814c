"""Small systems of normal equations, in compiled code."""

from __future__ import annotations

import math

from cortax.learning.search.compiled import compiled

__all__ = ["factorise", "substitute"]

_jit = compiled(__name__)


@_jit
def factorise(A, n):  # type: ignore[no-untyped-def]
    """Replace the lower triangle of A by L, with A = L L', and its diagonal by 1 / L_jj; False if A is not positive."""
    for j in range(n):
        pivot = A[j, j]
        for k in range(j):
            pivot -= A[j, k] * A[j, k]
        # Not `<= 0`: NaN must not pass.
        if not (pivot > 0.0 and pivot < math.inf):
            return False
        inverse = 1.0 / math.sqrt(pivot)
        A[j, j] = inverse
        for i in range(j + 1, n):
            left = A[i, j]
            for k in range(j):
                left -= A[i, k] * A[j, k]
            A[i, j] = left * inverse
    return True


@_jit
def substitute(A, b, n):  # type: ignore[no-untyped-def]
    """Replace b by the solution of L L' x = b, with L from `factorise`."""
    for i in range(n):
        left = b[i]
        for k in range(i):
            left -= A[i, k] * b[k]
        b[i] = left * A[i, i]
    for i in range(n - 1, -1, -1):
        left = b[i]
        for k in range(i + 1, n):
            left -= A[k, i] * b[k]
        b[i] = left * A[i, i]
