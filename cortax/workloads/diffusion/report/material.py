"""What the page of diffusion rests on: the jobs of one study, read when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from cortax.report.page import MadeJob, StudyJobs
from cortax.workloads.diffusion.names import map_files
from cortax.workloads.diffusion.volumes import Volume, open_volume

__all__ = ["FittedVolume", "Material"]


@dataclass(frozen=True, eq=False)
class FittedVolume:
    """The maps of one model and volume."""

    model: str
    volume: str
    options: Mapping[str, Any]
    job: MadeJob
    mask: npt.NDArray[np.bool_]

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return a map on the grid of the volume; NaN outside the mask."""
        nifti: Any = nib
        (file, _) = map_files(self.options["stem"], [name])[:2]
        values: npt.NDArray[Any] = np.asarray(nifti.load(self.job.folder / file).dataobj, dtype=np.float64)
        return np.where(self.mask.reshape(*self.mask.shape, *[1] * (values.ndim - 3)), values, np.nan)


class Material:
    """What the jobs of a study hold."""

    def __init__(self, made: StudyJobs) -> None:
        self.made = made

    @functools.cached_property
    def volumes(self) -> dict[str, Volume]:
        """Every volume by its name."""
        folders: dict[str, list[Path]] = {}
        for job in self.made.of("diffusion_volume"):
            folders.setdefault(job.key["volume"], []).append(job.folder)
        return {name: open_volume(*blocks) for name, blocks in folders.items()}

    @functools.cached_property
    def fitted(self) -> list[FittedVolume]:
        """The maps of every model and volume."""
        found = []
        for job in self.made.of("diffusion_maps"):
            volume = self.volumes[job.key["volume"]]
            mask = np.zeros(int(np.prod(volume.shape)), dtype=bool)
            mask[volume.voxels] = True
            key = job.key["model"], job.key["volume"]
            found.append(FittedVolume(*key, job.setup["options"], job, mask.reshape(volume.shape)))
        return found

    def by_map(self) -> dict[tuple[str, str], list[FittedVolume]]:
        """Return all that have a map, by model and map."""
        found: dict[tuple[str, str], list[FittedVolume]] = {}
        for each in self.fitted:
            for name in each.options["maps"]:
                found.setdefault((each.model, name), []).append(each)
        return found
