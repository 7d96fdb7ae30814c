"""What jobs of diffusion keep: fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from cortax.store import load, split
from cortax.workloads.diffusion.models.fit import Fit

__all__ = ["fit_files", "open_fit"]

_NAMES = ("parameters", "sse", "iterations", "status")


def fit_files(fit: Fit) -> dict[str, npt.NDArray[Any]]:
    """Return the files of a fit by name, for `cortax.store.save`."""
    return {f"{name}.npy": values for name, values in split(fit)[0].items()}


def open_fit(folder: str | Path) -> Fit:
    """Open the fit of a job; arrays are memory-mapped."""
    return Fit(*load(folder, *(f"{name}.npy" for name in _NAMES)))
