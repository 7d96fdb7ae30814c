"""Whether a diffusion study can work: volumes are there, and models can be fitted to their gradients."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cortax.errors import CortaxError, StudyError
from cortax.workloads.diffusion.finding import VolumeFiles, find_volumes
from cortax.workloads.diffusion.models.gradients import check_model
from cortax.workloads.diffusion.plan import volume_options
from cortax.workloads.diffusion.study import DiffusionStudy
from cortax.workloads.diffusion.volumes import check_volume

__all__ = ["check_diffusion"]


def check_diffusion(study: DiffusionStudy, root: Path) -> None:
    """Look at the names of all files, and at headers, gradients and what models need of them.

    A volume that cannot be read is left to its own job, which says so and stops no other, as long as another can.

    Raises
    ------
    CortaxError
        A file is missing, no volume can be read, or a model cannot be fitted to a volume's gradients.
    """
    if any(model.needs_dipy for model in study.models.values()) and importlib.util.find_spec("dipy") is None:
        raise StudyError(f"study {study.name!r}: one of its models needs DIPY: pip install 'cortax[diffusion]'")
    failures: list[CortaxError] = []
    volumes = find_volumes(study.volumes, root)
    for volume in volumes:
        try:
            _check(study, volume, root)
        except StudyError as error:
            raise StudyError(f"study {study.name!r}: {error}") from error
        except CortaxError as error:
            failures.append(error)
    if len(failures) == len(volumes):
        raise failures[0]


def _check(study: DiffusionStudy, volume: VolumeFiles, root: Path) -> None:
    _, gradients, _ = check_volume(root, volume_options(study, volume))
    for name, model in study.models.items():
        if model.subjects.matches(volume.scan.participant_id):
            check_model(model.kind, model.options, gradients, where=f"models.{name}, {volume.name}")
