"""What inner folds chose, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cortax.learning.arrays import Floats
from cortax.workloads.decoding.bins import EQUAL, BinFit

__all__ = ["choices_table"]


def choices_table(fits: Sequence[BinFit], configs: Sequence[Any], centres: Sequence[float]) -> pd.DataFrame:
    """Return what every bin (`time`, s) and outer fold chose.

    `edge`: whether the configuration is the first or the last of its grid and better than its neighbour, so that a
    still better one may lie beyond.
    `n_failed`: inner fits that failed.
    """
    rows = []
    for fit, time in zip(fits, centres, strict=True):
        means = fit.scores.mean(axis=1)
        for fold, number in enumerate(fit.chosen.tolist()):
            rows.append(
                {
                    "time": float(time),
                    "fold": fold,
                    "configuration": _text(configs[number]),
                    "edge": "yes" if _at_edge(means[fold], number) else "no",
                    "n_selected": int(fit.n_selected[fold]),
                    "inner_score": float(means[fold, number]),
                    "n_failed": int(np.isnan(fit.scores[fold]).sum()),
                }
            )
    return pd.DataFrame(rows)


def _text(config: Any) -> str:
    if isinstance(config, Mapping):
        return ", ".join(f"{name}={value}" for name, value in sorted(config.items()))
    return f"{config:g}"


def _at_edge(means: Floats, number: int) -> bool:
    """Whether the best configuration is at an end of its grid, and its neighbour is worse."""
    if len(means) < 2 or number not in (0, len(means) - 1):
        return False
    neighbour = means[1 if number == 0 else -2]
    return bool(np.isnan(neighbour) or means[number] > neighbour + EQUAL)
