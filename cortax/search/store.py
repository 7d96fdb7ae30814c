"""Searches on disk: arrays as npz without pickles, the rest as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.search.cells import Batch, SearchResult

__all__ = ["StoredSearch", "open_search", "save_search"]


@dataclass(frozen=True, eq=False)
class StoredSearch:
    """What later steps need of a search.

    Attributes
    ----------
    scores : float64 array of shape (n_targets, n_outer, n_configs, n_inner)
    configs : dict of task to list of configurations
    own_configs : dict of (target, outer fold) to list of configurations
        Of the cells that have their own.
    pipeline : dict
        What the pipeline was made from, and its seed.
    """

    scores: npt.NDArray[np.float64]
    configs: dict[str, list[dict[str, Any]]]
    own_configs: dict[tuple[int, int], list[dict[str, Any]]]
    pipeline: dict[str, Any]

    def configs_of(self, target: int, outer: int, task: str) -> list[dict[str, Any]]:
        """Return what the rows of scores of a cell stand for."""
        return self.own_configs.get((target, outer), self.configs[task])

    def found_of(self, batch: Batch, tasks: Sequence[str]) -> dict[str, Any]:
        """Return scores and configurations of the cells of a batch, by target: what refits choose from."""
        return {
            "scores": {t: self.scores[t, batch.outer] for t in batch.targets},
            "configs": {t: self.configs_of(t, batch.outer, tasks[t]) for t in batch.targets},
        }


def save_search(
    folder: str | Path, result: SearchResult, configs: Mapping[str, Sequence[Any]], pipeline: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Write a search into a folder; return the names of its results, and of what else it wrote (timings)."""
    folder = Path(folder)
    np.savez(folder / "search.npz", scores=result.scores, not_converged=result.not_converged)
    own = [{"target": t, "outer": k, "configs": found} for (t, k), found in sorted(result.configs.items())]
    about = {"configs": configs, "own_configs": own, "failures": result.failures, "pipeline": pipeline}
    (folder / "search.json").write_text(json.dumps(about, indent=1, sort_keys=True))
    np.save(folder / "seconds.npy", result.seconds)
    return ["search.npz", "search.json"], ["seconds.npy"]


def open_search(folder: str | Path) -> StoredSearch:
    """Read what `save_search` wrote."""
    about = json.loads((Path(folder) / "search.json").read_text())
    with np.load(Path(folder) / "search.npz", allow_pickle=False) as stored:
        own = {(cell["target"], cell["outer"]): cell["configs"] for cell in about["own_configs"]}
        return StoredSearch(stored["scores"], about["configs"], own, about["pipeline"])
