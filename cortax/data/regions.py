"""The table of subjects x regions on disk: what every way of parcellating ends in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cortax.errors import InputError

__all__ = ["Regions", "open_regions", "save_regions"]

VALUES, DESCRIPTION = "regions.npy", "regions.json"


@dataclass(frozen=True)
class Regions:
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
                twice = sorted(name for name in set(names) if names.count(name) > 1)
                raise InputError(f"a {what} occurs more than once among the regions: {twice[:5]}")


def save_regions(
    folder: Path | str, values: NDArray[np.floating], subjects: Sequence[str], columns: Sequence[str]
) -> None:
    """Write regions.npy (float32) and regions.json into an existing folder.

    Raises
    ------
    InputError
        The shape does not fit the names, or a name occurs twice.
    """
    regions = Regions(np.ascontiguousarray(values, dtype=np.float32), tuple(subjects), tuple(columns))
    np.save(Path(folder) / VALUES, regions.values, allow_pickle=False)
    names = {"subjects": regions.subjects, "columns": regions.columns}
    (Path(folder) / DESCRIPTION).write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")


def open_regions(folder: Path | str) -> Regions:
    """Open what `save_regions` wrote; the values are mapped read-only.

    Raises
    ------
    InputError
        A file is missing, unreadable, or does not fit the other.
    """
    folder = Path(folder)
    try:
        names = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        values = np.load(folder / VALUES, mmap_mode="r", allow_pickle=False)
        subjects, columns = tuple(names["subjects"]), tuple(names["columns"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{folder}: not a folder of regions ({error})") from error
    if values.dtype != np.float32:
        raise InputError(f"{folder / VALUES}: float32 is needed, found {values.dtype}")
    return Regions(values, subjects, columns)
