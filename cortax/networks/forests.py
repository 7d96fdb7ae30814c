"""Which regulators a gene rests on: importances of trees that predict it, as GENIE3 defines them.

Huynh-Thu et al. 2010, PLoS ONE 5:e12776. Each gene is a regression of its own on all regulators but itself; the
regulators are prepared once for all of them. A gene's trees depend on its name, its values, the regulators and the
options: not on who computes them, nor on what was computed before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from cortax.errors import InputError
from cortax.networks.boosting import bin_regulators, boosted_gains
from cortax.networks.grnboost import boost
from cortax.networks.options import ForestOptions
from cortax.networks.trees import grow_extra_trees, grow_forest
from cortax.search.spaces import content_seed

__all__ = ["ForestOptions", "Regulators", "gene_importances", "gene_seed"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Regulators:
    """What the regressions of all genes share.

    Attributes
    ----------
    names : tuple of str
    values : float32 array of shape (n_regulators, n_samples)
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.float32]

    @classmethod
    def prepare(cls, values: npt.NDArray[Any], names: Sequence[str]) -> Regulators:
        """Prepare a matrix for the regressions of any number of genes.

        Parameters
        ----------
        values : float array of shape (n_samples, n_regulators)
            Expression without NaN. Trees compare it in single precision.
        names : sequence of str, of length n_regulators

        Raises
        ------
        InputError
            Shapes disagree, a name occurs twice, or a value is not finite.
        """
        if values.shape[1:] != (len(names),):
            raise InputError(f"regulators: values {values.shape} are not (n_samples, {len(names)})")
        if len(set(names)) != len(names):
            raise InputError("regulators: a name occurs more than once")
        single = np.ascontiguousarray(values.T, dtype=np.float32)
        if not np.isfinite(single).all():
            raise InputError("regulators: a value is NaN, infinite or beyond single precision")
        return cls(tuple(names), single)

    @cached_property
    def ranks(self) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Rank of each value among those of its regulator, from 0 on, equal ones alike; shaped as `values`."""
        small = self.values.shape[1] <= np.iinfo(np.uint16).max
        ranks = np.empty(self.values.shape, dtype=np.uint16 if small else np.uint32)
        for row, values in zip(ranks, self.values, strict=True):
            row[:] = np.unique(values, return_inverse=True)[1]
        return ranks

    @cached_property
    def bins(self) -> lightgbm.Dataset:
        """The regulators as LightGBM holds them."""
        return bin_regulators(self.values)

    @cached_property
    def place(self) -> dict[str, int]:
        """The row of each regulator."""
        return {name: i for i, name in enumerate(self.names)}


def gene_seed(target_name: str, options: ForestOptions) -> int:
    """Return the seed of a gene's trees: of its name, the method and the study's seed, so that more trees go on."""
    return content_seed("network", options.seed, options.method, target_name)


def gene_importances(
    regulators: Regulators, target_name: str, target_values: npt.NDArray[Any], options: ForestOptions
) -> Floats:
    """Return how much each regulator tells about one gene.

    Parameters
    ----------
    regulators : Regulators
    target_name : str
        Where a regulator has this name, it is no candidate.
    target_values : float array of shape (n_samples,)
        Scaled here to zero mean and unit variance (divisor n_samples).
    options : ForestOptions

    Returns
    -------
    float64 array of shape (n_regulators,)
        The decrease in the sum of squares by all splits on a regulator, over n_samples, averaged over trees: what
        scikit-learn's `compute_feature_importances(normalize=False)` gives, before any scaling to a sum of 1. Forests
        and extra trees explain at most the target's variance, so that they add up to about 1. (For "grnboost" see
        `cortax.networks.grnboost`.) 0 for the gene itself. All 0 where the target is constant, or where there is no
        other regulator.

    Raises
    ------
    InputError
        Another number of samples than the regulators have, or a value is not finite.
    """
    y = np.asarray(target_values, dtype=np.float64)
    n_samples = regulators.values.shape[1]
    if y.shape != (n_samples,) or not np.isfinite(y).all():
        raise InputError(f"gene {target_name!r}: {n_samples} finite values are needed, got shape {y.shape}")
    candidates = np.arange(len(regulators.names))
    if target_name in regulators.place:
        candidates = np.delete(candidates, regulators.place[target_name])
    if np.ptp(y) == 0 or not len(candidates):
        return np.zeros(len(regulators.names))
    return _grow(regulators, _scaled(y), candidates, gene_seed(target_name, options), options)


def _scaled(y: Floats) -> Floats:
    # First to at most 1, so that no square is beyond double precision.
    y = y / np.abs(y).max()
    scaled: Floats = (y - y.mean()) / y.std()
    return scaled


def _grow(
    regulators: Regulators, y: Floats, candidates: npt.NDArray[np.int64], seed: int, options: ForestOptions
) -> Floats:
    how: dict[str, Any] = {
        "candidates": candidates,
        "n_trees": options.n_trees,
        "n_drawn": options.n_drawn(len(candidates)),
        "min_leaf": options.min_samples_leaf,
        "seed": seed,
    }
    if options.method == "forest":
        return grow_forest(regulators.ranks, y, **how)
    if options.method == "extra_trees":
        return grow_extra_trees(regulators.values, y, **how)
    if options.method == "grnboost":
        return boost(regulators.ranks, y, **how)
    return boosted_gains(regulators.bins, y, **how)
