"""The jobs of a diffusion study: a volume is read once, each model fitted to it, and maps made of the fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.errors import InputError, StudyError
from cortax.provenance.files import text_digest
from cortax.provenance.memory import Memory
from cortax.report.plan import report_job
from cortax.study.section import relative_paths
from cortax.workflow.plan.jobspec import JobSpec, Work, sorted_keys
from cortax.workflow.workload import Planning
from cortax.workloads.diffusion.finding import VolumeFiles, find_volumes
from cortax.workloads.diffusion.names import bids_entities, file_stem, map_files, map_names
from cortax.workloads.diffusion.study import DiffusionModel, DiffusionStudy

__all__ = ["diffusion_jobs", "volume_options"]

# Seconds of a voxel on one core, a guess until a build has measured it; DIPY's own loop takes so many times as long.
_SECONDS = {"dti": 1e-5, "fwdti": 2e-4, "csd": 2e-4, "dipy": 5e-3}
_BY_DIPY = 20.0
# A worker holds the signals of a unit, what is predicted of them, and some more of that size.
_COPIES = 6


@dataclass(frozen=True)
class _Size:
    n_voxels: int
    n_gradients: int


def diffusion_jobs(study: DiffusionStudy, planning: Planning) -> list[JobSpec]:
    """List the jobs of a diffusion study, each after those that it needs.

    What users vary last, which maps there are, is read by the last jobs alone.

    Raises
    ------
    CortaxError
        A volume lacks a file, two would have maps of one name, or a model's class is not there.
    """
    volumes = find_volumes(study.volumes, planning.root)
    _check_names(volumes)
    people = sorted({volume.scan.participant_id for volume in volumes})
    for name, model in study.models.items():
        model.subjects.check(f"models.{name}.subjects", people, StudyError)
    jobs = [job for volume in volumes for job in _Jobs(study, planning, volume).all()]
    return [*jobs, report_job(study, jobs, planning, "diffusion_report")] if study.report.enabled else jobs


def volume_options(study: DiffusionStudy, volume: VolumeFiles) -> dict[str, Any]:
    """Return the options of `diffusion_volume`, but for the digests of files."""
    return {"files": dict(volume.files), "b0_threshold": study.volumes.b0_threshold}


def _check_names(volumes: list[VolumeFiles]) -> None:
    seen: dict[tuple[str, ...], VolumeFiles] = {}
    for volume in volumes:
        entities = bids_entities(volume.scan)
        if (other := seen.setdefault(entities, volume)) is not volume:
            raise InputError(
                f"{other.files['dwi']} and {volume.files['dwi']} would both have maps called {'_'.join(entities)}: "
                "names of BIDS have letters and digits only"
            )


class _Jobs:
    """The jobs of one volume."""

    def __init__(self, study: DiffusionStudy, planning: Planning, volume: VolumeFiles) -> None:
        self._study, self._planning, self._volume = study, planning, volume
        root = planning.root
        digests = {kind: planning.digest_of(root / file) for kind, file in volume.files.items()}
        options = volume_options(study, volume) | {"digests": digests}
        options["files"] = relative_paths(options["files"], root)
        self._read = JobSpec(
            f"volume/{volume.name}", "diffusion_volume", sorted_keys(options), key={"volume": volume.name}
        )
        self._size = _measure(volume, digests, root)

    def all(self) -> Iterator[JobSpec]:
        """Yield them, each after those that it needs."""
        yield self._read
        for name, model in self._study.models.items():
            if not model.subjects.matches(self._volume.scan.participant_id):
                continue
            needs = {"volume": self._read.name}
            if model.kind == "csd" and model.response == "auto":
                response = self._response(name, model)
                yield response
                needs["response"] = response.name
            fit = self._fit(name, model, needs)
            yield fit
            yield self._maps(name, model, fit)

    def _where(self, model: str) -> str:
        return f"models.{model}, {self._volume.name}"

    def _key(self, model: str) -> dict[str, str]:
        return {"model": model, "volume": self._volume.name}

    def _response(self, name: str, model: DiffusionModel) -> JobSpec:
        place = f"response/{name}/{self._volume.name}"
        options = {"fa_threshold": model.fa_threshold, "shell": model.shell, "where": self._where(name)}
        return JobSpec(place, "diffusion_response", options, {"volume": self._read.name}, key=self._key(name))

    def _fit(self, name: str, model: DiffusionModel, needs: Mapping[str, str]) -> JobSpec:
        step, key = self._study.grid.voxels_per_unit, self._key(name)
        options = sorted_keys(
            {
                "kind": model.kind,
                "solver": model.solver,
                "options": model.options,
                "response": None if model.response == "auto" else model.response,
                "where": self._where(name),
                "voxels_per_unit": step,
            }
        )
        n_units = -(-self._size.n_voxels // step)
        seconds = _SECONDS[model.kind] * (_BY_DIPY if model.solver == "dipy" else 1.0)
        n_bytes = 8.0 * step * self._size.n_gradients * _COPIES
        return JobSpec(
            f"fit/{name}/{self._volume.name}",
            "diffusion_fit",
            self._as_cut_before(key, options),
            dict(needs),
            key=key,
            work=Work(name, n_units, ((n_units, step * seconds),), unit_bytes=n_bytes),
        )

    def _as_cut_before(self, key: Mapping[str, str], options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a finished fit that was cut into other units: nothing in it depends on that."""
        past = self._planning.past
        if past is None or not past.finished(self._read):
            return options
        known = [before for _, before in past.reusable("diffusion_fit", self._study.name, key)]
        return next((before for before in known if _uncut(before) == _uncut(options)), options)

    def _maps(self, name: str, model: DiffusionModel, fit: JobSpec) -> JobSpec:
        chosen = self._study.maps.names.select(map_names(model.kind))
        stem = file_stem(self._volume.scan, name)
        options = {
            "kind": model.kind,
            "options": model.options,
            "solver": model.solver,
            "maps": chosen,
            "stem": stem,
            "sources": list(self._read.options["files"].values()),
        }
        return JobSpec(
            f"maps/{name}/{self._volume.name}",
            "diffusion_maps",
            sorted_keys(options),
            {"volume": self._read.name, "fit": fit.name},
            key=self._key(name),
            links=tuple(map_files(stem, chosen)),
            folder=(*bids_entities(self._volume.scan)[:2], "dwi"),
        )


def _uncut(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "voxels_per_unit"}


def _measure(volume: VolumeFiles, digests: Mapping[str, str], root: Path) -> _Size:
    """Count voxels and gradients; a mask is read where its content is new."""
    digest = text_digest(" ".join(digests.get(kind, "") for kind in ("dwi", "mask")))
    memory = Memory(root / ".cortax" / "volumes" / f"{digest[:40]}.json")
    if known := memory.get("size"):
        return _Size(*known)
    # Imported here: a build of nothing new does not wait for what reads images.
    from cortax.workloads.diffusion.volumes import measure_volume

    try:
        size = _Size(*measure_volume(root, volume.files))
    except InputError:
        return _Size(1, 1)  # the job that reads it says what is wrong, and stops no other
    memory.note("size", [size.n_voxels, size.n_gradients])
    memory.save()
    return size
