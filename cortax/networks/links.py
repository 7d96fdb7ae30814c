"""The strongest links of a network, gene by gene, without ever holding all of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.errors import InputError

__all__ = ["TopLinks"]

Ints = npt.NDArray[np.int64]


class _Names:
    """Numbers names in the order of their arrival."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def add(self, names: Sequence[str]) -> npt.NDArray[np.int32]:
        return np.array([self.number.setdefault(name, len(self.number)) for name in names], dtype=np.int32)

    def alphabetical(self) -> npt.NDArray[np.int64]:
        """Return the place of each name in alphabetical order, by number."""
        places = np.empty(len(self.number), dtype=np.int64)
        places[[self.number[name] for name in sorted(self.number)]] = np.arange(len(places))
        return places

    def take(self, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.object_]:
        return np.array(list(self.number), dtype=object)[numbers]


@dataclass(frozen=True, eq=False)
class _Given:
    """Regulators as they were given: their numbers, their alphabetical order, and the place of each in it."""

    names: Sequence[str]
    numbers: npt.NDArray[np.int32]
    order: list[str]
    places: npt.NDArray[np.int64]


class TopLinks:
    """Keeps the `k` strongest links of all that are added.

    What is kept depends on what was added and not on its order: of equal importances the first by regulator, then by
    target, is the stronger one.

    Parameters
    ----------
    k : int
        How many links to keep, at least 1. Memory is 32 bytes a link kept, and what one `add` needs.

    Raises
    ------
    InputError
        `k` is below 1.
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise InputError(f"top links: k must be at least 1, got {k}")
        self.k = k
        self._n = 0
        self._importance = np.empty(0)
        self._regulator, self._target = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
        self._regulators, self._targets = _Names(), _Names()
        self._given = _Given((), np.empty(0, dtype=np.int32), [], np.empty(0, dtype=np.int64))
        # The weakest link that is kept, once there are k: importance, regulator, target.
        self._weakest: tuple[float, str, str] | None = None

    def add(self, target: str, regulator_names: Sequence[str], importances: npt.NDArray[Any]) -> None:
        """Add all links to one target; the one from the target itself is left out.

        Parameters
        ----------
        target : str
            Each one once: links that are added twice are there twice.
        regulator_names : sequence of str
            Faster if it is the same object each time.
        importances : float array of shape (n_regulators,)

        Raises
        ------
        InputError
            Lengths disagree, or an importance is NaN.
        """
        values = np.asarray(importances, dtype=np.float64)
        if values.shape != (len(regulator_names),) or np.isnan(values).any():
            raise InputError(f"links to {target!r}: {len(regulator_names)} importances without NaN are needed")
        if self._given.names is not regulator_names:
            order = sorted(regulator_names)
            place = {name: i for i, name in enumerate(order)}
            places = np.array([place[name] for name in regulator_names], dtype=np.int64)
            self._given = _Given(regulator_names, self._regulators.add(regulator_names), order, places)
        chosen = np.flatnonzero(self._stronger(values, target))
        self._append(values[chosen], self._given.numbers[chosen], target)

    def links(self) -> pd.DataFrame:
        """Return regulator, target and importance, the strongest link first."""
        self._compact()
        kept = slice(0, self._n)
        importance, regulator, target = self._importance[kept], self._regulator[kept], self._target[kept]
        order = self._order(np.arange(self._n))
        return pd.DataFrame(
            {
                "regulator": self._regulators.take(regulator[order]),
                "target": self._targets.take(target[order]),
                "importance": importance[order],
            }
        )

    def _stronger(self, values: npt.NDArray[np.float64], target: str) -> npt.NDArray[np.bool_]:
        """Whether links are stronger than the weakest that is kept."""
        numbers = self._given.numbers
        other: npt.NDArray[np.bool_] = numbers != self._regulators.number.get(target, -1)
        if self._weakest is None:
            return other
        importance, regulator, its_target = self._weakest
        # Of equal ones, those before it by name: all before its regulator, and itself with an earlier target.
        n_before = bisect_right if target < its_target else bisect_left
        before = n_before(self._given.order, regulator)
        stronger = (values > importance) | ((values == importance) & (self._given.places < before))
        other &= stronger
        return other

    def _append(self, values: npt.NDArray[np.float64], regulators: npt.NDArray[np.int32], target: str) -> None:
        if not len(values):
            return
        if self._n + len(values) > len(self._importance):
            self._compact()
            self._make_room(self._n + len(values))
        new = slice(self._n, self._n + len(values))
        self._importance[new], self._regulator[new] = values, regulators
        self._target[new] = self._targets.add([target])[0]
        self._n += len(values)

    def _make_room(self, n_needed: int) -> None:
        n = max(n_needed, 2 * self.k)
        if n > len(self._importance):
            for name in ("_importance", "_regulator", "_target"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old[: self._n], np.empty(n - self._n, dtype=old.dtype)]))

    def _compact(self) -> None:
        """Keep the k strongest."""
        if self._n <= self.k:
            return
        importance = self._importance[: self._n]
        limit = np.partition(importance, self._n - self.k)[self._n - self.k]
        above, equal = np.flatnonzero(importance > limit), np.flatnonzero(importance == limit)
        equal = equal[self._order(equal)][: self.k - len(above)]
        weakest = equal[-1:]
        names = self._regulators.take(self._regulator[weakest])[0], self._targets.take(self._target[weakest])[0]
        self._weakest = float(limit), *names
        kept = np.concatenate([above, equal])
        self._n = len(kept)
        for array in (self._importance, self._regulator, self._target):
            array[: self._n] = array[kept]

    def _order(self, which: Ints) -> Ints:
        """Return the order of some links: by importance, the strongest first, then by names."""
        by_regulator = self._regulators.alphabetical()[self._regulator[which]]
        by_target = self._targets.alphabetical()[self._target[which]]
        order: Ints = np.lexsort((by_target, by_regulator, -self._importance[which]))
        return order
