"""Whether a study can work at all, found out in a second and before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.brain.data.dropped import tally
from cortax.brain.data.map_files import MapFiles, find_images
from cortax.brain.data.name_lists import read_names
from cortax.brain.data.phenotype_table import People, people_of, read_phenotypes, read_target_values
from cortax.brain.data.phenotypes import OUTLYING, TargetReport
from cortax.brain.data.spaces import SPACES
from cortax.brain.data.tables import leave_out_incomplete, region_rows_of
from cortax.brain.parcellation.specs import check_spec
from cortax.errors import CortaxError, FoldError, InputError, SearchError, StudyError, choices
from cortax.learning.classes import binary_task, is_by_class
from cortax.learning.cohort import Cohort, join_cohort
from cortax.learning.combat import check_target_sites
from cortax.learning.confounds import check_rank
from cortax.learning.folds import Folds, check_targets, make_folds
from cortax.learning.regions import RegionTable
from cortax.learning.scores import get_metric
from cortax.learning.search.choose import check_rule
from cortax.learning.search.own import keep_groups
from cortax.learning.search.pipelines import PipelineKind, make_back, pipeline_kind
from cortax.learning.search.scoring import check_scorer
from cortax.learning.search.spaces import sample_configs
from cortax.workloads.regions.study.sections import Pipeline
from cortax.workloads.regions.study.study import RegionsStudy
from cortax.workloads.regions.suspicions import suspicious_columns

__all__ = ["check_study"]


def check_study(study: RegionsStudy, root: Path) -> None:
    """Look at everything that a study names and that can be looked at without reading an image.

    Raises
    ------
    CortaxError
        Something is missing or wrong; the message names it, and the place in the study where it stands.
    """
    tasks: list[str] = sorted({target.kind for target in study.targets.values()})
    try:
        for name, pipeline in study.pipelines.items():
            _check_pipeline(name, pipeline, tasks, study)
        for task in tasks:
            _check_scores(study, task)
        _check_regions(study, root)
    except StudyError as error:
        raise StudyError(f"study {study.name!r}: {error}") from error
    _check_subjects(study, root)


def _check_scores(study: RegionsStudy, task: str) -> None:
    key = f"search.{task}"
    try:
        check_scorer(getattr(study.search, task), task)
        key = f"evaluate.metrics.{task}"
        for metric in getattr(study.evaluate.metrics, task):
            get_metric(metric, task)
    except SearchError as error:
        raise StudyError(f"{key}: {error}") from error


def _kind(name: str, pipeline: Pipeline, tasks: Iterable[str]) -> PipelineKind:
    """Return what a pipeline is for the tasks that there are targets of."""
    needed = sorted({*map(binary_task, tasks)})
    estimators = {k: v for k, v in pipeline.estimators.items() if k in (*needed, "steps")}
    if pipeline.estimators and not estimators:
        raise SearchError(
            f"pipeline {name!r} names an estimator for {sorted(pipeline.estimators)} only: the targets of the "
            f"study need {' and '.join(needed)} = '...:...'"
        )
    return pipeline_kind(pipeline.kind, estimators, name=name)


def _check_own_folds(study: RegionsStudy, groups: npt.NDArray[Any]) -> None:
    """Make sure that what splits training rows itself can keep groups together."""
    tasks: list[str] = sorted({target.kind for target in study.targets.values()})
    for name, pipeline in study.pipelines.items():
        if pipeline.kind != "sklearn":
            continue
        kind = _kind(name, pipeline, tasks)
        for task in tasks:
            config = sample_configs(pipeline.kind, task, 1, seed=study.seed, space=pipeline.space)[0]
            model = make_back(kind, task, config, seed=study.seed)
            try:
                # Any values will do: only what is split, and by what, is looked at.
                calibrates = task != "regression" and kind.calibrates
                keep_groups(model, np.arange(len(groups)) % 2, groups, calibrates=calibrates)
            except SearchError as error:
                raise StudyError(f"study {study.name!r}: pipelines.{name}: {error}") from error


def _check_pipeline(name: str, pipeline: Pipeline, tasks: list[str], study: RegionsStudy) -> None:
    try:
        kind = _kind(name, pipeline, tasks)
        check_rule(study.evaluate.choose, kind, pipeline.n_configs)
        for task in tasks:
            config = sample_configs(pipeline.kind, task, 1, seed=study.seed, space=pipeline.space)[0]
            make_back(kind, task, config, seed=study.seed)
    except SearchError as error:
        raise StudyError(f"pipelines.{name}: {error}") from error


def _check_regions(study: RegionsStudy, root: Path) -> None:
    if study.images is not None:
        if study.images.space not in (*SPACES, "volume"):
            raise StudyError(f"images.space: {choices(study.images.space, [*SPACES, 'volume'])}")
        if not (root / study.images.root).is_dir():
            hint = " (run `cortax data`)" if study.simulated else ""
            raise InputError(f"{root / study.images.root}: images.root is not a folder{hint}")
    for matrices in study.connectivity.values():
        if matrices.labels is not None:
            read_names(root / matrices.labels)
    for name, spec in study.parcellations.items():
        try:
            check_spec(spec)
        except CortaxError as error:
            raise StudyError(f"parcellations.{name}: {error}") from error


def _check_classes(study: RegionsStudy, reports: Sequence[TargetReport]) -> None:
    for report in reports:
        if is_by_class(report.kind, len(report.classes)):
            _check_several(study, report)


def _check_several(study: RegionsStudy, report: TargetReport) -> None:
    """Refuse what is not for an ordinal target, or for more than two classes."""
    task, n_classes = report.kind, len(report.classes)
    what = f"target {report.name!r} is " + ("ordinal" if task == "ordinal" else f"of {n_classes} classes")
    place = ""
    try:
        for metric in getattr(study.evaluate.metrics, task):
            place = f"evaluate.metrics.{task}"
            get_metric(metric, task, n_classes)
        for name, pipeline in study.pipelines.items():
            place = f"search.{task}, pipelines.{name}"
            kind = _kind(name, pipeline, [task])
            check_scorer(getattr(study.search, task), task, n_classes, probabilities=not kind.calibrates)
    except SearchError as error:
        raise StudyError(f"study {study.name!r}: {place}: {what}: {error}") from error


def _tables(study: RegionsStudy, root: Path) -> tuple[dict[str, RegionTable], list[str]]:
    """The tables of regions, without those who lack too many; and how many rows were selected, in words."""
    found, notes = {}, []
    for name, table in study.tables.items():
        read = region_rows_of(table.model_dump(), root)
        notes += [f"tables.{name}: {note}" for note in read.notes]
        try:
            found[name], _ = leave_out_incomplete(read.table, table.max_missing)
        except InputError as error:
            raise InputError(f"tables.{name}: {error}") from error
    return found, notes


def _check_subjects(study: RegionsStudy, root: Path) -> None:
    about = study.phenotypes
    people = people_of(about.model_dump(), root)
    path = " + ".join(map(str, people.files))
    targets = {name: target.model_dump() for name, target in study.targets.items()}
    values, reports = read_target_values(people, targets, outlier_sd=about.outlier_sd)
    _check_classes(study, reports)
    files = _files(study, root, people)
    found = read_phenotypes(
        people,
        group=about.group,
        site=about.site,
        stratify=study.splits.stratify,
        confounds=about.confounds,
        categorical=about.categorical,
        outlier_sd=about.outlier_sd,
        endings=study.endings(files["images"].endings if "images" in files else ()),
        harmonise=study.harmonising,
    )
    names = sorted(targets)
    if both := sorted({*names} & {*found.confounds, *about.confounds}):
        raise InputError(f"{path}: {both}: a target and a confound share a name")
    tables, counts = _tables(study, root)
    for count in [*(f"phenotypes: {note}" for note in found.notes), *counts]:
        print(f"study {study.name!r}: {count}")
    notes = [*found.warnings]
    notes += [f"target {one.name!r}: {one.note}" for one in reports if one.note]
    if outlying := [one for one in found.dropped if one.reason.startswith(OUTLYING)]:
        notes.append(f"subjects left out: {tally(outlying)}")
    _warn(study, tables, notes, values)
    subjects = {f"tables.{name}": table.subjects for name, table in tables.items()}
    subjects |= {name: found.subjects for name, found in files.items()}
    try:
        # Those whose images turn out damaged are among them.
        cohort, _ = join_cohort(found.table, found.confounds, subjects, found.harmonise)
        everyone = list(cohort.subjects)
        table = found.table.loc[everyone]
        folds = _make_folds(study, cohort, table)
        check_rank(cohort.confounds, folds)
        kinds = [study.targets[name].kind for name in names]
        leave_out = study.splits.scheme == "leave-one-site-out"
        sites = table["site"].to_numpy(str) if leave_out else None
        if cohort.harmonise is not None:
            for note in check_target_sites(cohort.harmonise, folds, values.loc[everyone, names].to_numpy(), names):
                print(f"warning: study {study.name!r}: harmonise: {note}")
        classes = {report.name: report.classes for report in reports}
        check_targets(folds, values.loc[everyone, names], kinds=kinds, names=names, classes=classes, sites=sites)
    except CortaxError as error:
        raise type(error)(f"{path}: {error}") from error
    _check_own_folds(study, cohort.groups)


def _files(study: RegionsStudy, root: Path, people: People) -> dict[str, MapFiles]:
    """Images and matrices of those who are in the table of phenotypes; the confounds of others may be missing."""
    images = {} if study.images is None else {"images": study.images.model_dump()}
    images |= {f"connectivity.{name}": one.as_images(name) for name, one in study.connectivity.items()}
    if not images:
        return {}
    listed = set(read_phenotypes(people, group=False).table.index)
    return {name: find_images(about, root, leave_out=lambda one: one not in listed) for name, about in images.items()}


def _warn(study: RegionsStudy, tables: dict[str, RegionTable], notes: list[str], values: pd.DataFrame) -> None:
    """Say at once what is no error but may make results worth nothing."""
    said = [f"phenotypes: {note}" for note in notes]
    for name, table in tables.items():
        said += [
            f"tables.{name}: {one}; `columns` or `drop` leave columns out" for one in suspicious_columns(table, values)
        ]
    for one in said:
        print(f"warning: study {study.name!r}: {one}")


def _make_folds(study: RegionsStudy, cohort: Cohort, table: pd.DataFrame) -> Folds:
    splits, leave_out = study.splits, study.splits.scheme == "leave-one-site-out"
    if leave_out:
        n_sites = table.groupby("group")["site"].nunique()
        if divided := sorted(n_sites.index[n_sites > 1]):
            raise FoldError(
                f"{len(divided)} groups (column {study.phenotypes.group!r}) have subjects in two sites or more "
                f"(column {study.phenotypes.site!r}), which leaving a site out would divide: {divided[:5]}"
            )
    return make_folds(
        cohort.groups,
        n_outer=splits.n_outer,
        n_inner=splits.n_inner,
        n_repeats=splits.n_repeats,
        scheme=splits.scheme,
        strata=table["stratum"].to_numpy() if splits.stratify else None,
        n_bins=splits.n_bins,
        sites=table["site"].to_numpy(str) if leave_out else None,
        seed=study.seed,
    )
