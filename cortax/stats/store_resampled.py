"""Resampled scores of one evaluation on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.stats.bootstrap import Resampled

__all__ = ["ResampledRows", "open_resampled", "save_resampled"]

_ARRAYS = ("values", "resampled", "jackknife", "scored")


@dataclass(frozen=True, eq=False)
class ResampledRows:
    """Resampled scores of all targets and metrics.

    Attributes
    ----------
    rows : tuple of (str, str)
        Target and metric of each row.
    found : Resampled
        Its first axis are the rows.
    strata : int array of shape (n_groups,)
        See `bootstrap.group_strata`.
    """

    rows: tuple[tuple[str, str], ...]
    found: Resampled
    strata: npt.NDArray[np.int64]


def save_resampled(
    folder: str | Path, found: Mapping[str, tuple[Sequence[str], Resampled]], strata: npt.NDArray[np.int64]
) -> list[str]:
    """Write for each target its metrics and their resampled scores; return the names of the files.

    Raises
    ------
    SearchError
        There is no target to write.
    """
    if not found:
        raise SearchError("there is no target that has any of the metrics")
    folder = Path(folder)
    rows = [[target, metric] for target, (metrics, _) in found.items() for metric in metrics]
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for _, one in found.values()]) for name in _ARRAYS
    }
    np.savez(folder / "resampled.npz", **arrays, strata=strata)
    (folder / "resampled.json").write_text(json.dumps({"rows": rows}, indent=1))
    return ["resampled.npz", "resampled.json"]


def open_resampled(folder: str | Path) -> ResampledRows:
    """Read what `save_resampled` wrote."""
    folder = Path(folder)
    rows = json.loads((folder / "resampled.json").read_text())["rows"]
    with np.load(folder / "resampled.npz", allow_pickle=False) as stored:
        found = Resampled(**{name: stored[name] for name in _ARRAYS})
        return ResampledRows(tuple((target, metric) for target, metric in rows), found, stored["strata"])
