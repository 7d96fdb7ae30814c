"""What jobs of diffusion keep: fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cortax.learning.arrays import Ints
from cortax.store import load, split
from cortax.workloads.diffusion.models.fit import Fit, join, take

__all__ = ["fit_files", "open_fit"]


def fit_files(fit: Fit) -> dict[str, npt.NDArray[Any]]:
    """Return the files of a fit by name, for `cortax.store.save`."""
    return {f"{name}.npy": values for name, values in split(fit)[0].items()}


def open_fit(folders: Sequence[str | Path], rows: Ints) -> Fit:
    """Open the fits of a volume's blocks, voxels in the order of the volume's `rows`; of one, memory-mapped."""
    fits = [Fit(*load(folder, *(f"{each.name}.npy" for each in fields(Fit)))) for folder in folders]
    return fits[0] if len(fits) == 1 else take(join(fits), rows)
