"""The task of `diffusion_fit`: each unit is a run of voxels. Workers are told which, and map the signals themselves."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cortax.payload import open_sealed, seal
from cortax.provenance import outputs
from cortax.store import build, pack, split, unpack
from cortax.workflow.task import Unit
from cortax.workloads.diffusion.models.fit import Fit, join
from cortax.workloads.diffusion.models.making import Model, make_model
from cortax.workloads.diffusion.models.response import Response
from cortax.workloads.diffusion.responding import chosen_response
from cortax.workloads.diffusion.volumes import Volume, open_volume

__all__ = ["FitTask", "open_fit_task"]


@dataclass(frozen=True, eq=False)
class FitTask:
    """See `Task`: its values are a `Fit` for each run of voxels.

    Attributes
    ----------
    folder : str
        Of the `diffusion_volume` job.
    kind, solver : str
    options : mapping
        See `make_model`.
    response : Response, optional
    voxels_per_unit : int
    """

    folder: str
    kind: str
    solver: str
    options: Mapping[str, Any]
    response: Response | None
    voxels_per_unit: int

    @functools.cached_property
    def volume(self) -> Volume:
        """The signals, mapped."""
        return open_volume(self.folder)

    @functools.cached_property
    def model(self) -> Model:
        """What fits them."""
        return make_model(self.kind, self.options, self.volume.gradients, response=self.response, solver=self.solver)

    def _runs(self) -> Iterator[tuple[int, int]]:
        n_voxels, step = len(self.volume), self.voxels_per_unit
        return ((start, min(start + step, n_voxels)) for start in range(0, n_voxels, step))

    def units(self) -> list[Unit]:
        """Return a unit for each run of voxels."""
        return [Unit((_key(start, stop),), cost=float(stop - start)) for start, stop in self._runs()]

    def do(self, unit: int) -> list[bytes]:
        """Fit a run of voxels."""
        start = unit * self.voxels_per_unit
        stop = min(start + self.voxels_per_unit, len(self.volume))
        fit = self.model.fit(self.volume.read(start, stop))
        return [seal(_key(start, stop), pack(*split(fit)))]

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`: no signal goes anywhere."""
        return {}, {
            "folder": self.folder,
            "kind": self.kind,
            "solver": self.solver,
            "options": dict(self.options),
            "response": self.response and asdict(self.response),
            "voxels_per_unit": self.voxels_per_unit,
        }

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> FitTask:  # noqa: ARG003
        """See `Task`. Raises ProjectError: the volume is not what its job saved."""
        outputs.check(about["folder"])
        response = about["response"]
        return build(cls, about, {"response": response and build(Response, response)})

    def read(self, values: Mapping[str, bytes]) -> Fit:
        """Return the fit of all voxels, of what `collect_task` returned.

        Raises ProjectError: a value is not what a worker sealed for these voxels.
        """
        keys = [_key(*run) for run in self._runs()]
        return join([build(Fit, unpack(open_sealed(key, values[key]))[0]) for key in keys])


def _key(start: int, stop: int) -> str:
    return f"voxels {start}-{stop}"


def open_fit_task(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> FitTask:
    """Open the inputs of `diffusion_fit`, and compile what fits.

    Raises CortaxError: an input is not what its job saved, or the model cannot be made for these gradients.
    """
    outputs.check_all(jobs)
    task = FitTask(
        str(Path(jobs["volume"].path).resolve()),
        options["kind"],
        options["solver"],
        dict(options["options"]),
        chosen_response(jobs, options),
        options["voxels_per_unit"],
    )
    # Here, so that workers that are forks find it compiled.
    task.model.fit(task.volume.read(0, 1))
    return task
