"""Regressions of many genes on the same regulators: what a job of them may look at, and its work, gene by gene."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import InputError
from cortax.networks.forests import ForestOptions, Regulators, gene_importances
from cortax.search.cells import Batch

__all__ = ["Regressions", "plan_regressions", "regress_batch", "warm_up"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Regressions:
    """Target genes, and the regulators that all of them are regressed on.

    Attributes
    ----------
    regulators : Regulators
    names : tuple of str, of length n_genes
        Of the targets; a regulator of the same name is no candidate.
    values : float64 array of shape (n_genes, n_samples)
    options : ForestOptions

    Raises
    ------
    InputError
        Shapes disagree.
    """

    regulators: Regulators
    names: tuple[str, ...]
    values: npt.NDArray[Any]
    options: ForestOptions

    def __post_init__(self) -> None:
        if len(self.values) != len(self.names):
            raise InputError(f"regressions: {len(self.names)} names of genes for values of shape {self.values.shape}")


def plan_regressions(problem: Regressions) -> list[Batch]:
    """Return a batch for each gene: one tells nothing that another could use."""
    return [Batch(0, (number,)) for number in range(len(problem.names))]


def regress_batch(problem: Regressions, batch: Batch) -> dict[tuple[int, int], Floats]:
    """Return the importances of all regulators for every gene of a batch, see `gene_importances`."""
    return {
        (target, batch.outer): gene_importances(
            problem.regulators, problem.names[target], problem.values[target], problem.options
        )
        for target in batch.targets
    }


def warm_up(problem: Regressions) -> None:
    """Make what all regressions share, machine code too, so that processes forked later find it in memory."""
    some = np.arange(problem.values.shape[1], dtype=np.float64)
    gene_importances(problem.regulators, "", some, replace(problem.options, n_trees=1))
