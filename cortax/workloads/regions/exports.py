"""Importance of regions that a build found, as tables and as images of the brain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cortax.brain.data.export import MAP_SUFFIX, write_maps
from cortax.brain.data.images import is_cifti
from cortax.brain.data.map_files import find_images
from cortax.brain.parcellation.atlas import Atlas, open_atlas
from cortax.brain.parcellation.project import back_project
from cortax.errors import InputError, ProjectError, choices
from cortax.learning.importance.found import open_table
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.store import load
from cortax.workflow.lookup.results import build_log
from cortax.workflow.lookup.writing import plain_cells
from cortax.workloads.regions.class_names import class_names, name_classes
from cortax.workloads.regions.plan.names import evaluation_name, job_name
from cortax.workloads.regions.study.study import RegionsStudy

__all__ = ["STATISTICS", "Wanted", "export", "importance_table"]

STATISTICS = ("mean", "sd", "same_sign")
_JOBS = ("importances", "importance")  # put together from parts, or made at once


@dataclass(frozen=True)
class Wanted:
    """What to export: one target, one kind of importance and one statistic over folds (`STATISTICS`)."""

    parcellation: str
    pipeline: str
    target: str
    kind: str
    statistic: str = "mean"

    @property
    def stem(self) -> str:
        """Begin of the names of its files."""
        about = {"parc": self.parcellation, "pipeline": self.pipeline, "target": self.target}
        return "_".join(f"{key}-{value}" for key, value in about.items()) + f"_{self.kind}-{self.statistic}"


def importance_table(root: Path, study: str, wanted: Wanted) -> pd.DataFrame:
    """Return the importance of every region, see `average`, of one target and kind; classes are named.

    Raises
    ------
    ProjectError
        The study has not been built, or nothing like that was found in it; the message says what there is.
    """
    log = build_log(root, study)
    key = {"parcellation": wanted.parcellation, "pipeline": wanted.pipeline}
    called = evaluation_name(key)
    job = next((log["jobs"][job_name(method, key)] for method in _JOBS if job_name(method, key) in log["jobs"]), None)
    if job is None:
        there = {evaluation_name(what["key"]) for what in log["what"].values() if what["method"] in _JOBS}
        hint = choices(called, there) if there else "it needs a section [importance]"
        raise ProjectError(f"study {study!r} has no importance of this parcellation and pipeline: {hint}")
    folder = jobs_folder(root) / job
    outputs.check(folder)
    table = open_table(folder)
    for column in ("target", "kind"):
        asked = getattr(wanted, column)
        if asked not in set(table[column]):
            raise ProjectError(f"{called}, {column}: {choices(asked, set(table[column]))}")
        table = table[table[column] == asked]
    if wanted.statistic not in STATISTICS:
        raise ProjectError(f"statistic: {choices(wanted.statistic, STATISTICS)}")
    target_job = log["jobs"].get(job_name("target", {"target": wanted.target}))
    names = class_names(jobs_folder(root) / target_job) if target_job else ()
    return name_classes(table.reset_index(drop=True), {wanted.target: names})


def export(root: Path, study: RegionsStudy, wanted: Wanted, out: Path, *, template: Path | None = None) -> list[Path]:
    """Write the importance of every region as CSV, and as images where the regions are of a known space.

    Parameters
    ----------
    root : Path
        The project.
    study : RegionsStudy
    wanted : Wanted
    out : Path
        A folder, or a file whose name ends as the format's does; what it is called is then kept, but for
        `_hemi-L` and `_hemi-R`. A name that ends in `.csv` gives the table alone.
    template : Path, optional
        See `write_maps`; by default a file of the study's own maps.

    Returns
    -------
    list of Path
        Images, then the table.

    Raises
    ------
    CortaxError
        See `importance_table` and `write_maps`; or an image is asked for that the regions do not have.
    """
    table = importance_table(root, study.name, wanted)
    atlas = _atlas(root, study.name, wanted.parcellation)
    stem, with_images = _place(out, wanted.stem, atlas)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    if with_images and atlas is not None:
        values = table[wanted.statistic].to_numpy(np.float64).reshape(-1, atlas.n_regions)
        if atlas.space.kind == "grayordinates":
            template = template or _template(root, study)
        # A map of several classes is there once for each: its name says which.
        first = table.iloc[:: atlas.n_regions]
        of_class = [f" class {name}" if name else "" for name in first.get("class", [""] * len(first))]
        names = [
            f"{one_map} {wanted.target}{which} {wanted.kind} {wanted.statistic}"
            for one_map, which in zip(first["map"], of_class, strict=True)
        ]
        paths = write_maps(stem, back_project(atlas, values), names, atlas.space, template=template)
    csv = stem.with_name(f"{stem.name}.csv")
    plain_cells(table).to_csv(csv, index=False)
    return [*paths, csv]


def _atlas(root: Path, study: str, parcellation: str) -> Atlas | None:
    """The regions' atlas; a table of another program has none."""
    job = build_log(root, study)["jobs"].get(job_name("parcellate", {"parcellation": parcellation}))
    if job is None:
        return None
    outputs.check(jobs_folder(root) / job)
    return open_atlas(jobs_folder(root) / job)


def _place(out: Path, stem: str, atlas: Atlas | None) -> tuple[Path, bool]:
    """Where files go, without their last suffix, and whether images are among them."""
    kind = "" if atlas is None else atlas.space.kind
    suffix = MAP_SUFFIX.get(kind, "")
    if out.name.endswith(".csv"):
        return out.with_name(out.name.removesuffix(".csv")), False
    if suffix and out.name.endswith(suffix):
        return out.with_name(out.name.removesuffix(suffix)), True
    if out.is_dir() or not out.suffix:
        return out / stem, bool(suffix)
    allowed = [f"*{ending}" for ending in (".csv", suffix) if ending]
    where = "a table of another program has no image" if atlas is None else f"their space is {atlas.space.describe()}"
    raise InputError(f"{out}: a folder is needed, or a name like {' or '.join(allowed)}: {where}")


def _template(root: Path, study: RegionsStudy) -> Path | None:
    """Any of the study's own maps in CIFTI: they have the grayordinates of its atlases."""
    if study.images is None:
        return None
    (about,) = load(jobs_folder(root) / build_log(root, study.name)["jobs"]["load"], "maps.json")
    # Nobody else's need fit: a pilot's may be of another grid.
    kept = set(about["subjects"])
    files = find_images(study.images.model_dump(), root, leave_out=lambda subject: subject not in kept)
    paths = [files.root / path for path in files.paths[0][0]]
    return paths[0] if is_cifti(paths[0]) else None
