"""Connectivity matrices as regions: one a subject, each pair of regions a column, named `A~B`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.dropped import Dropped, tally
from cortax.brain.data.map_files import MapFiles, content_of, content_of_stacks, list_inventory
from cortax.brain.data.matrices import Matrix, read_matrix
from cortax.brain.data.stacks import Stacks
from cortax.brain.data.subject import UnusableError
from cortax.data.files import DamagedFileError
from cortax.errors import InputError, choices
from cortax.learning.regions import RegionTable

__all__ = ["TRANSFORMS", "Connectivity", "EdgeRules", "count_edges", "edge_names", "read_connectivity"]

TRANSFORMS = ("none", "fisher-z")
# Of the largest number of a matrix: as much may two triangles differ by rounding
_ROUNDING = 1e-5


@dataclass(frozen=True)
class EdgeRules:
    """What matrices must be, and what becomes of them; options of `[connectivity.<name>]`."""

    transform: str = "none"
    max_missing: float = 0.5
    damaged: Literal["drop", "error"] = "drop"

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise InputError(f"transform: {choices(self.transform, TRANSFORMS)}")


@dataclass(frozen=True)
class Connectivity:
    """Edges of everybody who has them, who was left out, and the content of the files as `inventory` lists it."""

    table: RegionTable
    dropped: tuple[Dropped, ...]
    inventory: tuple[str, str]


def edge_names(labels: Sequence[str]) -> list[str]:
    """Name the pairs of regions, in nilearn's order: (1, 0), (2, 0), (2, 1), ...; the earlier region comes first.

    >>> edge_names(["a", "b", "c"])
    ['a~b', 'a~c', 'b~c']
    """
    return [f"{first}~{labels[i]}" for i in range(len(labels)) for first in labels[:i]]


def read_connectivity(
    files: MapFiles,
    rules: EdgeRules,
    *,
    labels: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Connectivity:
    """Read a matrix of every subject.

    Parameters
    ----------
    files : MapFiles
        Of one map: a file a subject, or one `.npy` of shape (n_subjects, n_regions, n_regions).
    rules : EdgeRules
        "fisher-z" takes the inverse hyperbolic tangent.
    labels : sequence of str, optional
        Of the regions, in the order of matrices that have none of their own. Where they have, that of the columns.
        Without, the labels of the first matrix, or else the numbers from 1.
    progress : callable of (n_done, n_subjects), optional

    Returns
    -------
    Connectivity
        Columns as `edge_names` has them; the mean of both triangles, which are alike but for rounding; float32, NaN
        where the matrix has NaN. The diagonal is not looked at. Matrices whose labels are in another order are put in
        that of the first. Memory grows by subjects x edges, which is the table.

    Raises
    ------
    InputError
        Matrices that are not square or symmetric (beyond 1e-5 of the largest value), of other regions than the first;
        with "fisher-z", values that are not between -1 and 1; nobody is left.
    """
    reader = _Reader(files, rules, None if labels is None else tuple(labels))
    values, kept, dropped = np.empty((0, 0), np.float32), list[str](), list(files.dropped)
    digests: dict[str, str] = {}
    with Stacks() as stacks:
        for i, subject in enumerate(files.subjects):
            try:
                edges = reader.edges(i, stacks)
            except UnusableError as error:
                dropped.append(Dropped(subject, error.reason, error.file))
            else:
                if not kept:
                    values = np.empty((len(files.subjects), len(edges)), np.float32)
                values[len(kept)] = edges
                kept.append(subject)
            # After reading, so that a file that was changed meanwhile shows.
            digests.update(content_of(files, i))
            if progress is not None:
                progress(i + 1, len(files.subjects))
    digests.update(content_of_stacks(files))
    if not kept:
        raise InputError(f"{files.root}: every subject was dropped: {tally(dropped)}")
    table = RegionTable(values[: len(kept)], tuple(kept), tuple(edge_names(reader.names)))
    dropped.sort(key=lambda drop: drop.participant_id)
    return Connectivity(table, tuple(dropped), list_inventory(digests, files.dropped))


def count_edges(files: MapFiles) -> int:
    """Count the pairs of regions, by the first matrix that can be read; InputError if there is none."""
    with Stacks() as stacks:
        for i in range(len(files.subjects)):
            try:
                n = len(_read(files, i, stacks).values)
            except DamagedFileError:
                continue
            return n * (n - 1) // 2
    raise InputError(f"{files.root}: no matrix can be read")


def _read(files: MapFiles, i: int, stacks: Stacks) -> Matrix:
    path, row = files.root / files.paths[i][0][0], files.row_of(i, 0)
    if row is None:
        return read_matrix(path)
    values = stacks.values(path, row, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        raise InputError(f"{path}: an array (n_subjects, n_regions, n_regions) is needed, a row has {values.shape}")
    return Matrix(values)


class _Reader:
    """Edges of one subject after the other; the first matrix says which regions there are."""

    def __init__(self, files: MapFiles, rules: EdgeRules, labels: tuple[str, ...] | None) -> None:
        self.files, self.rules = files, rules
        self.names: tuple[str, ...] = labels or ()
        # Whether matrices have labels of their own
        self.labelled: bool | None = None
        self.first = "labels" if labels else ""

    def edges(self, i: int, stacks: Stacks) -> NDArray[np.float64]:
        """Return (n_edges,) float64; UnusableError where the file is damaged or lacks too much."""
        path = self.files.paths[i][0][0]
        row = self.files.row_of(i, 0)
        where = f"{self.files.root / path}: subject {self.files.subjects[i]!r}"
        try:
            matrix = _read(self.files, i, stacks)
        except DamagedFileError as error:
            if self.rules.damaged == "error" or row is not None:
                raise
            raise UnusableError(error.reason, path) from error
        values = self._ordered(matrix, path, where)
        lower = np.tril_indices(len(values), -1)
        both = values[lower], values.T[lower]
        called = "matrix" if row is None else f"matrix (row {row + 1})"
        if n_infinite := int((np.isinf(both[0]) | np.isinf(both[1])).sum()):
            reason = f"{called}: {n_infinite} of {len(both[0])} edges are infinite"
            if self.rules.damaged == "error":
                raise InputError(f"{where}: {reason}")
            raise UnusableError(reason, path)
        self._check_symmetry(both, lower, where)
        edges = (both[0] + both[1]) / 2
        n_missing = int(np.isnan(edges).sum())
        if n_missing > self.rules.max_missing * len(edges):
            share = (
                f"{n_missing} of {len(edges)} edges are missing, at most {self.rules.max_missing:.4g} of them may be"
            )
            raise UnusableError(f"{called}: {share}", path)
        return self._transformed(edges, lower, where)

    def _ordered(self, matrix: Matrix, path: str, where: str) -> NDArray[np.float64]:
        """Bring a matrix into the order of the regions, or learn them from it."""
        own = matrix.labels
        if self.labelled not in (None, own is not None):
            has = ("has no labels", "has") if own is None else ("has labels", "has none")
            raise InputError(f"{where}: {has[0]}, {self.first} {has[1]}: their regions cannot be compared")
        if not self.names:
            self.names = own or tuple(str(k + 1) for k in range(len(matrix.values)))
        self.labelled, self.first = own is not None, self.first or path
        if len(matrix.values) != len(self.names) and own is None:
            raise InputError(
                f"{where}: {len(matrix.values)} regions, but {len(self.names)} in {self.first}; without labels they "
                "cannot be told apart"
            )
        if own is None or own == self.names:
            return matrix.values
        if odd := sorted(set(own) ^ set(self.names)):
            raise InputError(f"{where}: other regions than {self.first}: {odd[:5]} ({len(odd)} in only one of them)")
        places = {name: k for k, name in enumerate(own)}
        order = [places[name] for name in self.names]
        return matrix.values[np.ix_(order, order)]

    def _check_symmetry(
        self,
        both: tuple[NDArray[np.float64], NDArray[np.float64]],
        lower: tuple[NDArray[np.intp], NDArray[np.intp]],
        where: str,
    ) -> None:
        a, b = both
        largest = np.nanmax(np.abs(a), initial=0.0)
        odd = np.flatnonzero((np.isnan(a) != np.isnan(b)) | (np.abs(a - b) > _ROUNDING * largest))
        if len(odd):
            k = odd[0]
            first, second = self.names[lower[1][k]], self.names[lower[0][k]]
            raise InputError(
                f"{where}: not symmetric: {first}~{second} is {b[k]:g}, {second}~{first} is {a[k]:g} "
                f"({len(odd)} of {len(a)} pairs)"
            )

    def _transformed(
        self, edges: NDArray[np.float64], lower: tuple[NDArray[np.intp], NDArray[np.intp]], where: str
    ) -> NDArray[np.float64]:
        if self.rules.transform == "none":
            return edges
        beyond = np.flatnonzero(np.abs(edges) >= 1)
        if len(beyond):
            k = beyond[0]
            pair = f"{self.names[lower[1][k]]}~{self.names[lower[0][k]]}"
            # More digits than the difference to 1 has
            why = "whose Fisher z is infinite" if abs(edges[k]) == 1 else "which is no correlation"
            raise InputError(
                f"{where}: {pair} is {edges[k]:.9g}, {why} ({len(beyond)} of {len(edges)} pairs); "
                'transform = "none" takes values as they are'
            )
        z: NDArray[np.float64] = np.arctanh(edges)
        return z
