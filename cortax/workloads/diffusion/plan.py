"""The jobs of a diffusion study: a volume is read once, each model fitted to it, and maps made of the fits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.errors import InputError, StudyError
from cortax.provenance.closure import class_code
from cortax.provenance.files import text_digest
from cortax.provenance.memory import Memory
from cortax.report.plan import report_job
from cortax.study.section import relative_paths
from cortax.workflow.plan.jobspec import JobSpec, Work, sorted_keys
from cortax.workflow.workload import Planning
from cortax.workloads.diffusion.finding import VolumeFiles, find_volumes
from cortax.workloads.diffusion.names import bids_entities, file_stem, map_files, map_names
from cortax.workloads.diffusion.study import DiffusionModel, DiffusionStudy
from cortax.workloads.diffusion.voxels import VoxelBlock, cut_voxels, encode_voxels

__all__ = ["diffusion_jobs", "volume_options"]

# Seconds of a voxel on one core, a guess until a build has measured it; DIPY's own loop takes so many times as long.
_SECONDS = {"dti": 1e-5, "fwdti": 2e-4, "csd": 2e-4, "dipy": 5e-3}
_BY_DIPY = 20.0
# A worker holds the signals of a unit, what is predicted of them, and some more of that size.
_COPIES = 6


_READER = "cortax.workloads.diffusion.volumes:measure_volume"


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
    # Another way to read may find other voxels in the same file.
    code = class_code([_READER])
    jobs = [job for volume in volumes for job in _Jobs(study, planning, volume, code).all()]
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

    def __init__(self, study: DiffusionStudy, planning: Planning, volume: VolumeFiles, code: Mapping[str, str]) -> None:
        self._study, self._planning, self._volume = study, planning, volume
        root = planning.root
        digests = {kind: planning.digest_of(root / file) for kind, file in volume.files.items()}
        options = volume_options(study, volume) | {"digests": digests}
        options["files"] = relative_paths(options["files"], root)
        self._sources = list(options["files"].values())
        measured = _measure(options, root, code)
        self._n_gradients = measured.n_gradients
        self._read = [(block, self._volume_job(block, options)) for block in self._blocks(options, measured)]

    def _blocks(self, options: Mapping[str, Any], measured: _Measured) -> list[VoxelBlock]:
        """Cut the voxels; those that were read together in the same way stay together."""
        if measured.voxels is None:
            return [VoxelBlock("", None, 1)]
        past, known = self._planning.past, []
        for key, found in past.reusable("diffusion_volume", self._study.name, self._key()) if past else []:
            if (voxels := found["voxels"]) and found == _reading(options, voxels):
                known.append((key.get("block", ""), voxels))
        return cut_voxels(measured.voxels, known)

    def _volume_job(self, block: VoxelBlock, options: Mapping[str, Any]) -> JobSpec:
        key = self._key(block=block)
        return JobSpec(_name("volume", key), "diffusion_volume", _reading(options, block.voxels), key=key)

    def all(self) -> Iterator[JobSpec]:
        """Yield them, each after those that it needs."""
        volumes = [read.name for _, read in self._read]
        yield from (read for _, read in self._read)
        for name, model in self._study.models.items():
            if not model.subjects.matches(self._volume.scan.participant_id):
                continue
            response: dict[str, str | list[str]] = {}
            if model.kind == "csd" and model.response == "auto":
                estimated = self._response(name, model, volumes)
                yield estimated
                response["response"] = estimated.name
            fits = [self._fit(name, model, block, read, response) for block, read in self._read]
            yield from fits
            needs: dict[str, str | list[str]] = {"volume": volumes, "fit": [fit.name for fit in fits]}
            yield self._residuals(name, model, {**needs, **response})
            yield self._maps(name, model, needs)

    def _where(self, model: str) -> str:
        return f"models.{model}, {self._volume.name}"

    def _key(self, model: str = "", block: VoxelBlock | None = None) -> dict[str, str]:
        key = {"model": model, "volume": self._volume.name, "block": block.name if block else ""}
        return {axis: value for axis, value in key.items() if value}

    def _response(self, name: str, model: DiffusionModel, volumes: list[str]) -> JobSpec:
        key = self._key(name)
        options = {"fa_threshold": model.fa_threshold, "shell": model.shell, "where": self._where(name)}
        return JobSpec(_name("response", key), "diffusion_response", options, {"volume": volumes}, key=key)

    def _fit(
        self,
        name: str,
        model: DiffusionModel,
        block: VoxelBlock,
        read: JobSpec,
        response: Mapping[str, str | list[str]],
    ) -> JobSpec:
        step, key = self._study.grid.voxels_per_unit, self._key(name, block)
        options = sorted_keys({**_model_options(model), "where": self._where(name), "voxels_per_unit": step})
        n_units = -(-block.n_voxels // step)
        seconds = _SECONDS[model.kind] * (_BY_DIPY if model.solver == "dipy" else 1.0)
        n_bytes = 8.0 * step * self._n_gradients * _COPIES
        return JobSpec(
            _name("fit", key),
            "diffusion_fit",
            self._as_cut_before(key, read, options),
            {"volume": read.name, **response},
            key=key,
            work=Work(name, n_units, ((n_units, step * seconds),), unit_bytes=n_bytes),
        )

    def _as_cut_before(self, key: Mapping[str, str], read: JobSpec, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a finished fit that was cut into other units: nothing in it depends on that."""
        past = self._planning.past
        if past is None or not past.finished(read):
            return options
        known = [before for found, before in past.reusable("diffusion_fit", self._study.name, key) if found == key]
        return next((before for before in known if _uncut(before) == _uncut(options)), options)

    def _residuals(self, name: str, model: DiffusionModel, needs: Mapping[str, str | list[str]]) -> JobSpec:
        key = self._key(name)
        return JobSpec(
            _name("residuals", key), "diffusion_residuals", sorted_keys(_model_options(model)), dict(needs), key=key
        )

    def _maps(self, name: str, model: DiffusionModel, needs: Mapping[str, str | list[str]]) -> JobSpec:
        key = self._key(name)
        chosen = self._study.maps.names.select(map_names(model.kind))
        stem = file_stem(self._volume.scan, name)
        options = {
            "kind": model.kind,
            "options": model.options,
            "solver": model.solver,
            "maps": chosen,
            "stem": stem,
            "sources": self._sources,
        }
        return JobSpec(
            _name("maps", key),
            "diffusion_maps",
            sorted_keys(options),
            dict(needs),
            key=key,
            links=tuple(map_files(stem, chosen)),
            folder=(*bids_entities(self._volume.scan)[:2], "dwi"),
        )


def _name(step: str, key: Mapping[str, str]) -> str:
    return "/".join([step, *key.values()])


def _model_options(model: DiffusionModel) -> dict[str, Any]:
    return {
        "kind": model.kind,
        "solver": model.solver,
        "options": model.options,
        "response": None if model.response == "auto" else model.response,
    }


def _uncut(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "voxels_per_unit"}


def _reading(options: Mapping[str, Any], voxels: str | None) -> dict[str, Any]:
    """Return the options of the job that reads some voxels: in which file a mask was that has them does not matter."""
    reading = {**options, "voxels": voxels}
    if voxels is not None:
        for name in ("files", "digests"):
            reading[name] = {kind: value for kind, value in options[name].items() if kind != "mask"}
    return dict(sorted_keys(reading))


@dataclass(frozen=True)
class _Measured:
    """The voxels of a volume, see `encode_voxels`, and its number of gradients; no voxels if it cannot be read."""

    voxels: str | None
    n_gradients: int


def _measure(options: Mapping[str, Any], root: Path, code: Mapping[str, str]) -> _Measured:
    """Look at a volume and its mask where their content is new; `code`: what reads them depends on."""
    digests = [options["digests"].get(kind, "") for kind in ("dwi", "mask")]
    key = text_digest(json.dumps([digests, code], sort_keys=True))
    memory = Memory(root / ".cortax" / "volumes" / f"{key[:40]}.json")
    if known := memory.get("voxels"):
        return _Measured(known, int(memory.get("n_gradients")))
    # Imported here: a build of nothing new does not wait for what reads images.
    from cortax.workloads.diffusion.volumes import measure_volume

    try:
        inside, n_gradients = measure_volume(root, options)
    except InputError:
        return _Measured(None, 1)  # the job that reads it says what is wrong, and stops no other
    measured = _Measured(encode_voxels(inside), n_gradients)
    memory.note("voxels", measured.voxels)
    memory.note("n_gradients", n_gradients)
    memory.save()
    return measured
