"""How trees are grown for networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cortax.errors import SearchError, choices

__all__ = ["METHODS", "ForestOptions"]

METHODS = ("forest", "extra_trees", "grnboost", "lightgbm")


@dataclass(frozen=True)
class ForestOptions:
    """The ensemble that predicts one gene from the regulators.

    Attributes
    ----------
    method : {"forest", "extra_trees", "grnboost", "lightgbm"}
        Random forest (GENIE3), extremely randomised trees, boosting that ends by itself (GRNBoost2), or boosting of a
        given length by LightGBM.
    n_trees : int
        Of "grnboost" the most that are grown.
    max_features : {"sqrt", "all"} or int
        How many regulators are drawn at each node to choose a split from.
    min_samples_leaf : int
        Distinct samples in a leaf, at least.
    seed : int
        The study's; genes get their own from it and their names.

    Raises
    ------
    SearchError
        A value that is not allowed; the message says which are.
    """

    method: str = "forest"
    n_trees: int = 1000
    max_features: str | int = "sqrt"
    min_samples_leaf: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SearchError(f"method: {choices(self.method, METHODS)}")
        if isinstance(self.max_features, str) and self.max_features not in ("all", "sqrt"):
            raise SearchError(f"max_features: {choices(self.max_features, ('all', 'sqrt'))}, or a whole number")
        for name in ("n_trees", "min_samples_leaf", "max_features"):
            value: Any = getattr(self, name)
            if not isinstance(value, str) and (isinstance(value, bool) or int(value) != value or value < 1):
                raise SearchError(f"{name} must be a whole number of at least 1, got {value!r}")

    def n_drawn(self, n_candidates: int) -> int:
        """Return how many of so many candidates are drawn at a node: at least one, at most all."""
        if self.max_features == "all":
            return max(1, n_candidates)
        wanted = math.isqrt(n_candidates) if self.max_features == "sqrt" else int(self.max_features)
        return min(max(1, wanted), max(1, n_candidates))
