"""The table of subjects x regions on disk: what every way of parcellating ends in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cortax.errors import InputError
from cortax.store import build, load, save

__all__ = ["RegionTable", "open_regions", "save_regions"]

VALUES, DESCRIPTION = "regions.npy", "regions.json"


@dataclass(frozen=True)
class RegionTable:
    """One value of every subject and column: `values` is float32 (n_subjects, n_columns), NaN for none."""

    values: NDArray[np.float32]
    subjects: tuple[str, ...]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.subjects), len(self.columns)):
            shape = f"{len(self.subjects)} subjects x {len(self.columns)} columns"
            raise InputError(f"region values of shape {self.values.shape} do not fit {shape}")
        for what, names in (("subject", self.subjects), ("column", self.columns)):
            if len(set(names)) < len(names):
                twice = sorted(name for name, n in Counter(names).items() if n > 1)
                raise InputError(f"a {what} occurs more than once among the regions: {twice[:5]}")


def save_regions(
    folder: Path | str, values: NDArray[np.floating], subjects: Sequence[str], columns: Sequence[str]
) -> None:
    """Write regions.npy (float32) and regions.json into an existing folder.

    Raises InputError: the shape does not fit the names, or a name occurs twice.
    """
    regions = RegionTable(np.ascontiguousarray(values, dtype=np.float32), tuple(subjects), tuple(columns))
    names = {"subjects": regions.subjects, "columns": regions.columns}
    save(folder, {VALUES: regions.values, DESCRIPTION: names}, sort_keys=False, end="\n")


def open_regions(folder: Path | str) -> RegionTable:
    """Open what `save_regions` wrote; the values are mapped read-only.

    Raises
    ------
    ProjectError
        A file is missing or damaged.
    InputError
        The files do not fit each other.
    """
    values, names = load(folder, VALUES, DESCRIPTION)
    if values.dtype != np.float32:
        raise InputError(f"{Path(folder) / VALUES}: float32 is needed, found {values.dtype}")
    return build(RegionTable, {"values": values}, names)
