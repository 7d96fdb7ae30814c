"""Genes and importances on disk: arrays as npy without pickles, names as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import InputError, ProjectError

__all__ = [
    "GeneValues",
    "StoredImportances",
    "open_genes",
    "open_importances",
    "read_cell",
    "save_genes",
    "save_importances",
    "some_genes",
    "write_cell",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GeneValues:
    """Genes by name: `values` is float64 of shape (n_genes, n_samples), memory-mapped where it was opened."""

    names: tuple[str, ...]
    values: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class StoredImportances:
    """What the regressions of a job found.

    Attributes
    ----------
    genes : tuple of str, of length n_genes
        The targets.
    values : float64 array of shape (n_genes, n_regulators), memory-mapped
    constant : tuple of str
        Genes that are the same in all samples: nothing can be said about them, and all importances are 0.
    """

    genes: tuple[str, ...]
    values: npt.NDArray[Any]
    constant: tuple[str, ...]

    def rows(self, leave: Sequence[str] = ()) -> Iterator[tuple[str, Floats]]:
        """Yield each gene with its importances, but for those that are to be left out."""
        left_out = set(leave)
        for gene, row in zip(self.genes, self.values, strict=True):
            if gene not in left_out:
                yield gene, row


def save_genes(folder: str | Path, genes: GeneValues) -> list[str]:
    """Write genes; return the names of the files."""
    np.save(Path(folder) / "genes.npy", np.ascontiguousarray(genes.values, dtype=np.float64), allow_pickle=False)
    (Path(folder) / "genes.json").write_text(json.dumps(list(genes.names)), encoding="utf-8")
    return ["genes.npy", "genes.json"]


def open_genes(folder: str | Path) -> GeneValues:
    """Open what `save_genes` wrote."""
    names = json.loads((Path(folder) / "genes.json").read_text(encoding="utf-8"))
    return GeneValues(tuple(names), np.load(Path(folder) / "genes.npy", mmap_mode="r", allow_pickle=False))


def some_genes(genes: GeneValues, wanted: Sequence[str] | None) -> GeneValues:
    """Take genes out of a matrix by name, in the order in which they are wanted; all, sorted by name, if None is said.

    Raises
    ------
    InputError
        The matrix does not have one of them.
    """
    place = {name: number for number, name in enumerate(genes.names)}
    names = sorted(genes.names) if wanted is None else list(wanted)
    if absent := [name for name in names if name not in place]:
        raise InputError(
            f"the expression matrix has no gene {absent[0]!r}, nor {len(absent) - 1} more that are asked for"
        )
    return GeneValues(tuple(names), genes.values[[place[name] for name in names]])


def save_importances(
    folder: str | Path, genes: GeneValues, done: Mapping[tuple[int, int], Floats], n_regulators: int
) -> list[str]:
    """Write the importances of all genes of a job; return the names of the files.

    Parameters
    ----------
    folder : path
    genes : GeneValues
        The targets.
    done : mapping of (target, 0) to float64 array of shape (n_regulators,)
    n_regulators : int
    """
    stored = np.lib.format.open_memmap(
        Path(folder) / "importances.npy", mode="w+", dtype=np.float64, shape=(len(genes.names), n_regulators)
    )
    for (target, _), importances in done.items():
        stored[target] = importances
    stored.flush()
    constant = [name for name, values in zip(genes.names, genes.values, strict=True) if np.ptp(values) == 0]
    about = {"genes": list(genes.names), "constant": constant}
    (Path(folder) / "importances.json").write_text(json.dumps(about), encoding="utf-8")
    return ["importances.npy", "importances.json"]


def open_importances(folder: str | Path, regulators: Sequence[str]) -> StoredImportances:
    """Open what `save_importances` wrote.

    Raises
    ------
    ProjectError
        It is of another number of regulators.
    """
    about = json.loads((Path(folder) / "importances.json").read_text(encoding="utf-8"))
    values = np.load(Path(folder) / "importances.npy", mmap_mode="r", allow_pickle=False)
    if values.shape != (len(about["genes"]), len(regulators)):
        raise ProjectError(
            f"{folder}: importances of shape {values.shape} are not those of {len(regulators)} regulators"
        )
    return StoredImportances(tuple(about["genes"]), values, tuple(about["constant"]))


def write_cell(importances: Floats) -> bytes:
    """Return the bytes of the importances of one gene."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(importances, dtype=np.float64), allow_pickle=False)
    return stream.getvalue()


def read_cell(content: bytes) -> Floats:
    """Return what `write_cell` wrote.

    Raises
    ------
    InputError
        It wrote no such thing.
    """
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"not the bytes of a gene's importances: {error}") from error
