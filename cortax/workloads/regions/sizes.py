"""How many regions the parcellations of a study have, and of which type they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from cortax.brain.parcellation.atlas import open_atlas
from cortax.learning.regions import open_regions

__all__ = ["Ensembled", "describe", "n_regions"]


class Ensembled(TypedDict):
    """How an ensemble is made, and of which parcellations."""

    strategy: str
    members: Sequence[str]


def describe(
    folders: Mapping[str, Path | str],
    *,
    types: Mapping[str, str],
    sizes: Mapping[str, int],
    ensembles: Mapping[str, Ensembled],
) -> pd.DataFrame:
    """Describe what is ranked.

    Parameters
    ----------
    folders : mapping of parcellation to path
        Where its regions are.
    types : mapping of parcellation to type
    sizes : mapping of parcellation to int
        What is to be taken for its size, where that is not the number of its regions.
    ensembles : mapping of ensemble to its `strategy`, which is its type, and `members`, names of parcellations
        Its size is theirs together; if the strategy is "grid", which uses one of them at a time, that of the largest
        (as Hahn et al. have it). An ensemble of parcellations that are not all there is not described.

    Returns
    -------
    DataFrame
        By name: `size` (float64), `type` (str) and `ensemble` (bool).

    Raises
    ------
    CortaxError
        A folder holds no regions.
    """
    found = {name: float(sizes.get(name) or n_regions(folder)) for name, folder in folders.items()}
    about = {name: (size, types[name], False) for name, size in found.items()}
    for name, ensemble in ensembles.items():
        if set(ensemble["members"]) <= set(found):
            members = [found[member] for member in ensemble["members"]]
            size = max(members) if ensemble["strategy"] == "grid" else sum(members)
            about[name] = (size, ensemble["strategy"], True)
    return pd.DataFrame.from_dict(about, orient="index", columns=["size", "type", "ensemble"])


def n_regions(folder: Path | str) -> int:
    """Count the regions of a parcellation; of a table, which does not know its regions, the columns.

    A region without any location in the study's space does not count.
    """
    if (Path(folder) / "atlas.json").exists():
        return int(np.count_nonzero(open_atlas(folder).sizes))
    return len(open_regions(folder).columns)
