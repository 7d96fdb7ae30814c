"""Genes and importances on disk, and importances of one gene as bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import InputError, ProjectError
from cortax.store import build, load, pack, save, unpack

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
    values = np.ascontiguousarray(genes.values, dtype=np.float64)
    return save(folder, {"genes.npy": values, "genes.json": genes.names}, indent=None)


def open_genes(folder: str | Path) -> GeneValues:
    """Open what `save_genes` wrote."""
    values, names = load(folder, "genes.npy", "genes.json")
    return GeneValues(tuple(names), values)


def some_genes(genes: GeneValues, wanted: Sequence[str] | None) -> GeneValues:
    """Take genes out of a matrix by name, in the order in which they are wanted; all, sorted by name, if None is said.

    Raises InputError: the matrix does not have one of them.
    """
    place = {name: number for number, name in enumerate(genes.names)}
    names = sorted(genes.names) if wanted is None else list(wanted)
    if absent := [name for name in names if name not in place]:
        raise InputError(
            f"the expression matrix has no gene {absent[0]!r}, nor {len(absent) - 1} more that are asked for"
        )
    return GeneValues(tuple(names), genes.values[[place[name] for name in names]])


def save_importances(folder: str | Path, genes: GeneValues, rows: Sequence[Floats], n_regulators: int) -> list[str]:
    """Write the importances of all genes of a job; return the names of the files.

    Parameters
    ----------
    genes : GeneValues
        The targets.
    rows : sequence of float64 array of shape (n_regulators,)
        Of each target.
    """
    values = np.array(rows, dtype=np.float64).reshape(len(genes.names), n_regulators)
    constant = [name for name, of_gene in zip(genes.names, genes.values, strict=True) if np.ptp(of_gene) == 0]
    about = {"genes": genes.names, "constant": constant}
    return save(folder, {"importances.npy": values, "importances.json": about}, indent=None, sort_keys=False)


def open_importances(folder: str | Path, regulators: Sequence[str]) -> StoredImportances:
    """Open what `save_importances` wrote.

    Raises ProjectError: it is of another number of regulators.
    """
    values, about = load(folder, "importances.npy", "importances.json")
    if values.shape != (len(about["genes"]), len(regulators)):
        raise ProjectError(
            f"{folder}: importances of shape {values.shape} are not those of {len(regulators)} regulators"
        )
    return build(StoredImportances, {"values": values}, about)


def write_cell(importances: Floats) -> bytes:
    """Return the bytes of the importances of one gene."""
    return pack({"importances": np.asarray(importances, dtype=np.float64)}, None)


def read_cell(content: bytes) -> Floats:
    """Return what `write_cell` wrote; ProjectError if it is not whole."""
    arrays, _ = unpack(content)
    return arrays["importances"]
