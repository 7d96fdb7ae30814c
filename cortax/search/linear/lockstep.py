"""Iterations in step, so that many matrix-vector products become one matrix product.

Each iteration is a generator that yields a vector of coefficients and is sent X @ coefficients, then yields a vector
of residuals and is sent X' @ residuals, and so on in turn. A product of two dozen vectors costs little more than that
of one: X is read from memory once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["Asking", "in_step"]

Floats = npt.NDArray[np.float64]

Asking = Generator[Floats, Floats, None]


def in_step(X_T: Floats, iterations: Iterable[Asking], at_once: int) -> None:
    """Run iterations to their ends.

    Parameters
    ----------
    X_T : float64 array of shape (n_columns, n_train)
    iterations : iterable of generators
    at_once : int
        How many run at a time: as one ends, the next begins.
    """
    waiting = iter(iterations)
    live: list[tuple[Asking, Floats]] = []
    while True:
        while len(live) < at_once and (asking := next(waiting, None)) is not None:
            live += _ask(asking, None)
        if not live:
            return
        live = _serve(live, _predict(np.stack([vector for _, vector in live]), X_T))
        live = _serve(live, np.stack([vector for _, vector in live]) @ X_T.T)


def _serve(live: list[tuple[Asking, Floats]], products: Floats) -> list[tuple[Asking, Floats]]:
    return [pair for (asking, _), product in zip(live, products, strict=True) for pair in _ask(asking, product)]


def _ask(asking: Asking, product: Floats | None) -> list[tuple[Asking, Floats]]:
    try:
        return [(asking, next(asking) if product is None else asking.send(product))]
    except StopIteration:
        return []


def _predict(coefficients: Floats, X_T: Floats) -> Floats:
    used = np.flatnonzero(coefficients.any(axis=0))
    found: Floats = coefficients @ X_T if 2 * len(used) > len(X_T) else coefficients[:, used] @ X_T[used]
    return found
