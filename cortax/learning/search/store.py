"""Searches on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.learning.arrays import Floats
from cortax.learning.search.cells import Batch, SearchResult
from cortax.store import build, load, save, split

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

    scores: Floats
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
    arrays, about = split(result)
    own = [{"target": t, "outer": k, "configs": found} for (t, k), found in sorted(about["configs"].items())]
    about |= {"configs": configs, "own_configs": own, "pipeline": pipeline}
    others = save(folder, {"seconds.npy": arrays.pop("seconds")})
    return save(folder, {"search.npz": arrays, "search.json": about}), others


def open_search(folder: str | Path) -> StoredSearch:
    """Read what `save_search` wrote."""
    arrays, about = load(folder, "search.npz", "search.json")
    own = {(cell["target"], cell["outer"]): cell["configs"] for cell in about["own_configs"]}
    return build(StoredSearch, arrays, about, {"own_configs": own})
