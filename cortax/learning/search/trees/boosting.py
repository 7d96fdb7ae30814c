"""LightGBM without its wrappers: binned training sets that many fits share, and the trees grown on them.

Every number is that of `LGBMRegressor` and `LGBMClassifier`, bit by bit. What they do again for every fit is
done once for a training set (binning), or not at all (checks, a copy of the model as text, trees that
cannot split).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from scipy.special import logit
from sklearn.utils.class_weight import compute_sample_weight

from cortax.learning.arrays import Floats
from cortax.learning.search.cells import Config
from cortax.learning.search.pipelines import PIPELINES, make_back
from cortax.learning.search.training import TrainingSet

__all__ = ["Bins", "Recipe", "bin_ahead", "curve", "find_bins", "forest", "never_splits", "recipe"]

# What LightGBM bins by; with more rows it draws some, by the seed of the fit.
_BINNED_ROWS = 200_000
_QUIET = {"verbose": -1, "num_threads": 1, "force_col_wise": True}


@dataclass(eq=False)
class Bins:
    """A binned training set."""

    train: lgb.Dataset
    # Which columns can be split at all. LightGBM samples columns among these, so they change what is fitted.
    usable: bytes
    valid: lgb.Dataset | None = None  # the rows to predict, in the same bins


@dataclass(frozen=True)
class Recipe:
    """How to make one fit."""

    params: dict[str, Any]  # LightGBM's, seed included
    n_trees: int
    class_weight: str | None

    @property
    def smallest_leaf(self) -> int:
        """Rows that a leaf needs."""
        return int(self.params.get("min_child_samples", 20))

    @property
    def max_bin(self) -> int:
        """Bins that a column may have."""
        return int(self.params.get("max_bin", 255))


def recipe(task: str, config: Config, *, seed: int) -> Recipe:
    """Translate a configuration as scikit-learn's estimator would."""
    estimator = make_back(PIPELINES["lgbm"], task, config, seed=seed).named_steps["estimate"]
    params = {name: value for name, value in estimator.get_params().items() if value is not None}
    n_trees, class_weight = params.pop("n_estimators"), params.pop("class_weight", None)
    del params["importance_type"]
    params |= {"objective": "regression" if task == "regression" else "binary", "metric": "None"}
    return Recipe(params, n_trees, class_weight)


def find_bins(part: TrainingSet, made: Recipe) -> Bins:
    """Return the bins in which a fit is made; fits that may share them do.

    LightGBM leaves out columns without a split that gives every leaf its rows: the more rows, the fewer columns.
    So fits share bins if the same columns are left at a smaller and at a larger leaf.
    """
    # In larger leaves than half of the rows there is no split and no matter which columns are left.
    leaf = max(min(made.smallest_leaf, len(part.X) // 2), 1)
    seed = made.params["random_state"] if len(part.X) > _BINNED_ROWS else 0
    known: dict[int, Bins] = part.shared.setdefault(f"lgbm.bins.{made.max_bin}.{seed}", {})
    below = max((size for size in known if size <= leaf), default=None)
    above = min((size for size in known if size >= leaf), default=None)
    if below is not None and above is not None and known[below] is known[above]:
        return known[below]
    bins = _bin(part.X, leaf, made.max_bin, seed)
    known[leaf] = next((other for other in known.values() if other.usable == bins.usable), bins)
    return known[leaf]


def bin_ahead(part: TrainingSet, recipes: Iterable[Recipe]) -> None:
    """Bin for the fits with the smallest and the largest leaves, between which the others mostly find theirs."""
    by_size: dict[int, list[Recipe]] = {}
    for made in sorted(recipes, key=lambda made: made.smallest_leaf):
        by_size.setdefault(made.max_bin, []).append(made)
    for alike in by_size.values():
        for made in (alike[0], alike[-1]):
            # What cannot be binned fails again, as itself, when it is fitted.
            with contextlib.suppress(lgb.basic.LightGBMError):
                find_bins(part, made)


def _bin(X: Floats, leaf: int, max_bin: int, seed: int) -> Bins:
    params = {**_QUIET, "max_bin": max_bin, "min_data_in_leaf": leaf, "seed": seed}
    train = lgb.Dataset(X, params=params).construct()
    usable = np.array([train.feature_num_bin(column) > 0 for column in range(X.shape[1])])
    return Bins(train, np.packbits(usable).tobytes())


def _label(bins: Bins, y: Floats, class_weight: str | None) -> None:
    weight = None if class_weight is None else compute_sample_weight(class_weight, y).astype(np.float32)
    # Not `set_weight`, which leaves the weights of the fit before where there are none.
    bins.train.set_field("weight", weight)
    bins.train.set_label(y)


def _start(part: TrainingSet, y: Floats, made: Recipe) -> tuple[lgb.Booster, Bins, int]:
    """Return a booster without trees, its bins, and the sign of its decisions."""
    if made.n_trees <= 0:
        raise ValueError(f"n_estimators must be greater than 0; got {made.n_trees}")
    if len(y) < 2:
        raise ValueError(f"{len(y)} row to fit on; LightGBM needs 2")
    bins = find_bins(part, made)
    # scikit-learn numbers the classes that there are: if all are 1 they become 0.
    flips = made.params["objective"] == "binary" and bool((y == 1).all())
    _label(bins, np.zeros_like(y) if flips else y, made.class_weight)
    return lgb.Booster(made.params, bins.train), bins, -1 if flips else 1


def _grow(booster: lgb.Booster, n_trees: int) -> None:
    # An empty tree is no end: the next one may get rows and columns that can be split.
    for _ in range(n_trees):
        booster.update()


def forest(part: TrainingSet, y: Floats, made: Recipe) -> tuple[Floats, int]:
    """Fit, and predict the rows to predict.

    Parameters
    ----------
    part : TrainingSet
    y : float64 array of shape (n_train,)
        Classes are 0 and 1.
    made : Recipe

    Returns
    -------
    float64 array of shape (n_valid,)
        Values, or log odds.
    int
        Number of trees that have a split, or 1.

    Raises
    ------
    lightgbm.basic.LightGBMError, ValueError
        LightGBM refuses a parameter, or there are too few rows.
    """
    booster, _, sign = _start(part, y, made)
    _grow(booster, 1 if never_splits(made, len(y)) else made.n_trees)
    return sign * _predict(booster, part), booster.num_trees()


def never_splits(made: Recipe, n_train: int) -> bool:
    """Whether leaves need so much that no tree of a fit can have two, whatever rows it is given.

    The Hessian is 1 a row of a regression and at most 1/4 of a classification, where weights sum to the number of
    rows. GOSS weights the rows that it draws so that they stand for all, and for more where gradients are tied.
    """
    hessian = n_train * (1.0 if made.params["objective"] == "regression" else 0.25)
    slack = 2.0 if made.params.get("data_sample_strategy") == "goss" else 1.01
    needed = 2 * float(made.params.get("min_child_weight", 1e-3))
    return 2 * made.smallest_leaf > n_train or needed > slack * hessian


def curve(part: TrainingSet, y: Floats, made: Recipe, counts: Iterable[int]) -> Iterator[Floats]:
    """Fit with more and more trees, and yield the decisions at each of some rising numbers of trees.

    They are those of the fits that stop there: the trees of a fit do not depend on how many follow, and where dart
    scales them later the decisions are taken before it does.

    Parameters
    ----------
    part, y, made
        See `forest`.
    counts : iterable of int
        Beyond `n_trees`, too.

    Yields
    ------
    float64 array of shape (n_valid,)
    """
    booster, bins, sign = _start(part, y, made)
    dart, grown = made.params.get("boosting_type") == "dart", 0
    # A booster adds up the decisions tree by tree; where it drops trees again and again that is dearer.
    if not dart:
        booster.add_valid(_valid(part, bins), "valid")
    fruitless = never_splits(made, len(y))
    for count in counts:
        _grow(booster, int(not grown) if fruitless else count - grown)
        grown = count
        yield sign * (_predict(booster, part) if dart else _added_up(booster, made))


def _valid(part: TrainingSet, bins: Bins) -> lgb.Dataset:
    if bins.valid is None:
        bins.valid = lgb.Dataset(part.X_valid, reference=bins.train, params=dict(bins.train.params or {})).construct()
        bins.valid.set_label(np.zeros(len(part.X_valid)))
    return bins.valid


def _predict(booster: lgb.Booster, part: TrainingSet) -> Floats:
    decisions = booster.predict(part.X_valid, raw_score=True, num_threads=1, predict_disable_shape_check=True)
    return np.asarray(decisions, dtype=np.float64)


def _added_up(booster: lgb.Booster, made: Recipe) -> Floats:
    seen: list[Floats] = []

    def look(predicted: Floats, _: lgb.Dataset) -> tuple[str, float, bool]:
        seen.append(predicted.copy())
        return "", 0.0, True

    booster.eval_valid(look)
    if made.params["objective"] == "regression":
        return seen[0]
    edge = np.finfo(np.float64).epsneg
    return np.asarray(logit(np.clip(seen[0], edge, 1 - edge)))
