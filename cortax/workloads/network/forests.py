"""Which regulators a gene rests on: importances of trees that predict it, as GENIE3 defines them.

Huynh-Thu et al. 2010, PLoS ONE 5:e12776. Each gene is a regression of its own on all regulators but itself; the
regulators are prepared once for all of them. A gene's trees depend on its name, its values, the regulators and the
options: not on who computes them, nor on what was computed before.

LightGBM boosts small trees on nine tenths of the samples with a learning rate of 0.01, as in `trees`, but as many as
are asked for, on binned values. LightGBM's own random forest would be `trees` at many times the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from cortax.errors import InputError
from cortax.learning.search.spaces import content_seed
from cortax.workloads.network.options import METHODS, ForestOptions
from cortax.workloads.network.trees import Growth, boost, grow_extra_trees, grow_forest

__all__ = [
    "ForestOptions",
    "Regressions",
    "Regulators",
    "compile_trees",
    "gene_importances",
    "gene_seed",
    "regress_gene",
    "warm_up",
]

Floats = npt.NDArray[np.float64]

_QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}
# Bins must not depend on how many samples a leaf needs: genes and options share them.
_BINS = {"max_bin": 255, "min_data_in_bin": 1, "feature_pre_filter": False}
_TREES = {
    "objective": "regression",
    "learning_rate": 0.01,
    "max_depth": 3,
    "num_leaves": 8,
    "bagging_freq": 1,
    "bagging_fraction": 0.9,
    "min_sum_hessian_in_leaf": 0.0,
}


def bin_regulators(values: npt.NDArray[np.float32]) -> lightgbm.Dataset:
    """Bin regulators for any number of genes.

    Parameters
    ----------
    values : float32 array of shape (n_regulators, n_samples)

    Returns
    -------
    lightgbm.Dataset
        Its label is exchanged from gene to gene: not for several threads at a time.
    """
    samples = np.ascontiguousarray(values.T)
    return lightgbm.Dataset(samples, label=np.zeros(len(samples)), params=_QUIET | _BINS).construct()


def boosted_gains(bins: lightgbm.Dataset, y: Floats, growth: Growth) -> Floats:
    """Boost one gene, in bins of `bin_regulators`, and return what each regulator contributes.

    All samples of a leaf count. The float64 array of shape (n_regulators,) holds the decrease in the residuals' sum of
    squares over n_samples, averaged over trees.
    """
    candidates = growth.candidates
    bins.set_label(y)
    parameters: dict[str, Any] = {
        **_QUIET,
        **_BINS,
        **_TREES,
        "feature_fraction_bynode": growth.n_drawn / len(candidates),
        "min_data_in_leaf": growth.min_leaf,
        "seed": growth.seed,
    }
    if len(candidates) < bins.num_feature():
        parameters["interaction_constraints"] = [candidates.tolist()]
    booster = lightgbm.Booster(parameters, bins)
    for _ in range(growth.n_trees):
        booster.update()
    return np.asarray(booster.feature_importance("gain"), dtype=np.float64) / (len(y) * growth.n_trees)


@dataclass(frozen=True, eq=False)
class Regulators:
    """What the regressions of all genes share.

    Attributes
    ----------
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
    target_name : str
        Where a regulator has this name, it is no candidate.
    target_values : float array of shape (n_samples,)
        Scaled here to zero mean and unit variance (divisor n_samples).

    Returns
    -------
    float64 array of shape (n_regulators,)
        The decrease in the sum of squares by all splits on a regulator, over n_samples, averaged over trees: what
        scikit-learn's `compute_feature_importances(normalize=False)` gives, before any scaling to a sum of 1. Forests
        and extra trees explain at most the target's variance, so that they add up to about 1. (For "grnboost" see
        `boost`.) 0 for the gene itself. All 0 where the target is constant, or where there is no
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
    n_drawn = options.n_drawn(len(candidates))
    growth = Growth(candidates, options.n_trees, n_drawn, options.min_samples_leaf, seed)
    if options.method == "forest":
        return grow_forest(regulators.ranks, y, growth)
    if options.method == "extra_trees":
        return grow_extra_trees(regulators.values, y, growth)
    if options.method == "grnboost":
        return boost(regulators.ranks, y, growth)
    return boosted_gains(regulators.bins, y, growth)


@dataclass(frozen=True, eq=False)
class Regressions:
    """Target genes, and the regulators that all of them are regressed on.

    Attributes
    ----------
    names : tuple of str, of length n_genes
        Of the targets; a regulator of the same name is no candidate.
    values : float64 array of shape (n_genes, n_samples)

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


def regress_gene(problem: Regressions, number: int) -> Floats:
    """Return the importances of all regulators for the gene of this number, see `gene_importances`."""
    return gene_importances(problem.regulators, problem.names[number], problem.values[number], problem.options)


def warm_up(problem: Regressions) -> None:
    """Make what all regressions share, machine code too, so that processes forked later find it in memory."""
    some = np.arange(problem.values.shape[1], dtype=np.float64)
    gene_importances(problem.regulators, "", some, replace(problem.options, n_trees=1))


def compile_trees() -> None:
    """See `Workload`."""
    values = np.random.default_rng(0).normal(size=(2, 20))
    regulators = Regulators.prepare(values.T, ("a", "b"))
    for method in METHODS:
        warm_up(Regressions(regulators, ("c",), values[:1], ForestOptions(method)))
