"""The strongest links of a network, gene by gene, without ever holding all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.errors import InputError

__all__ = ["TopLinks"]


class TopLinks:
    """Keeps the `k` strongest links of all that are added.

    What is kept depends on what was added and not on its order: of equal importances the first by regulator, then by
    target, is the stronger one.

    Parameters
    ----------
    k : int
        How many links to keep, at least 1. Memory is at most 64 bytes a link kept, and what one `add` needs.
    regulators : sequence of str
        Each once.

    Raises
    ------
    InputError
        `k` is below 1.
    """

    def __init__(self, k: int, regulators: Sequence[str]) -> None:
        if k < 1:
            raise InputError(f"top links: k must be at least 1, got {k}")
        self.k = k
        # Numbers are those of the alphabet.
        self._regulators = sorted(regulators)
        self._number = {name: number for number, name in enumerate(self._regulators)}
        self._numbers = np.array([self._number[name] for name in regulators], dtype=np.int32)
        self._targets: list[str] = []
        # Importances, numbers of regulators, and of targets in the order of their arrival.
        self._parts = [(np.empty(0), np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32))]
        self._n = 0
        # The weakest link that is kept, once there are k: importance, number of the regulator, target.
        self._weakest: tuple[float, int, str] | None = None

    def add(self, target: str, importances: npt.NDArray[Any]) -> None:
        """Add all links to one target; the one from the target itself is left out.

        Parameters
        ----------
        target : str
            Each one once: links that are added twice are there twice.
        importances : float array of shape (n_regulators,)

        Raises
        ------
        InputError
            There are more or fewer than regulators, or one is NaN.
        """
        values, n = np.asarray(importances, dtype=np.float64), len(self._regulators)
        if values.shape != (n,) or np.isnan(values).any():
            raise InputError(f"links to {target!r}: {n} importances without NaN are needed")
        numbers = self._numbers
        wanted = numbers != self._number.get(target, -1)
        if self._weakest is not None:
            importance, regulator, its_target = self._weakest
            # Of equal ones, those before it by name: all before its regulator, and itself with an earlier target.
            before = regulator + (target < its_target)
            wanted &= (values > importance) | ((values == importance) & (numbers < before))
        chosen = np.flatnonzero(wanted)
        if len(chosen):
            place = np.full(len(chosen), len(self._targets), dtype=np.int32)
            self._parts.append((values[chosen], numbers[chosen], place))
            self._targets.append(target)
            self._n += len(chosen)
        if self._n > 2 * self.k:
            self._compact()

    def links(self) -> pd.DataFrame:
        """Return regulator, target and importance, the strongest link first."""
        importance, regulator, target = self._compact()
        names = {"regulator": (self._regulators, regulator), "target": (self._targets, target)}
        columns = {side: np.array(every, dtype=object)[numbers] for side, (every, numbers) in names.items()}
        return pd.DataFrame({**columns, "importance": importance})

    def _compact(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Keep the k strongest, in order, and return them."""
        importance, regulator, target = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        by_name = np.empty(len(self._targets), dtype=np.int64)
        by_name[sorted(range(len(by_name)), key=self._targets.__getitem__)] = np.arange(len(by_name))
        order = np.lexsort((by_name[target], regulator, -importance))[: self.k]
        kept = importance[order], regulator[order], target[order]
        self._parts, self._n = [kept], len(order)
        if len(order) == self.k:
            self._weakest = float(kept[0][-1]), int(kept[1][-1]), self._targets[kept[2][-1]]
        return kept
