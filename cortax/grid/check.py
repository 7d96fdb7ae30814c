"""Whether a study can work at all, found out in a second and before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cortax.cohort import Cohort, join_cohort
from cortax.data.map_files import find_maps
from cortax.data.phenotype_table import read_phenotypes, read_target_values
from cortax.data.spaces import SPACES
from cortax.data.tables import read_region_files
from cortax.errors import CortaxError, FoldError, InputError, SearchError, StudyError, choices
from cortax.folds import Folds, check_targets, make_folds
from cortax.grid.check_network import check_network
from cortax.parcellation.specs import check_spec
from cortax.scores import get_metric
from cortax.search.pipelines import make_back, pipeline_kind
from cortax.search.scoring import check_scorer
from cortax.search.spaces import sample_configs
from cortax.study import AnyStudy, NetworkStudy, Pipeline, Study

__all__ = ["check_study"]


def check_study(study: AnyStudy, root: Path) -> None:
    """Look at everything that a study names and that can be looked at without reading an image.

    Raises
    ------
    CortaxError
        Something is missing or wrong; the message names it, and the place in the study where it stands.
    """
    if not isinstance(study, Study):
        # Of timings the plan has looked at all there is.
        if isinstance(study, NetworkStudy):
            check_network(study, root)
        return
    tasks: list[str] = sorted({target.kind for target in study.targets.values()})
    try:
        for name, pipeline in study.pipelines.items():
            _check_pipeline(name, pipeline, tasks, study.seed)
        for task in tasks:
            _check_scores(study, task)
        _check_regions(study, root)
    except StudyError as error:
        raise StudyError(f"study {study.name!r}: {error}") from error
    _check_subjects(study, root)


def _check_scores(study: Study, task: str) -> None:
    key = f"search.{task}"
    try:
        check_scorer(getattr(study.search, task), task)
        key = f"evaluate.metrics.{task}"
        for metric in getattr(study.evaluate.metrics, task):
            get_metric(metric, task)
    except SearchError as error:
        raise StudyError(f"{key}: {error}") from error


def _check_pipeline(name: str, pipeline: Pipeline, tasks: list[str], seed: int) -> None:
    try:
        estimators = {task: getattr(pipeline, task) for task in tasks if getattr(pipeline, task)}
        kind = pipeline_kind(pipeline.kind, estimators, name=name)
        for task in tasks:
            config = sample_configs(pipeline.kind, task, 1, seed=seed, space=pipeline.space)[0]
            make_back(kind, task, config, seed=seed)
    except SearchError as error:
        raise StudyError(f"pipelines.{name}: {error}") from error


def _check_regions(study: Study, root: Path) -> None:
    if study.images is not None:
        if study.images.space not in (*SPACES, "volume"):
            raise StudyError(f"images.space: {choices(study.images.space, [*SPACES, 'volume'])}")
        if not (root / study.images.root).is_dir():
            hint = " (run `cortax data`)" if study.simulated else ""
            raise InputError(f"{root / study.images.root}: images.root is not a folder{hint}")
    for name, spec in study.parcellations.items():
        try:
            check_spec(spec)
        except CortaxError as error:
            raise StudyError(f"parcellations.{name}: {error}") from error


def _subjects(study: Study, root: Path) -> dict[str, tuple[str, ...]]:
    """Who has files of images, or rows in a table of regions."""
    found = {}
    if study.images is not None:
        found["images"] = find_maps(root / study.images.root, study.images.maps).subjects
    for name, table in study.tables.items():
        found[f"tables.{name}"] = read_region_files(
            [root / file for file in table.files],
            sessions=table.sessions,
            id_columns=table.id,
            columns=table.columns,
            drop=table.drop,
            id_prefix=table.id_prefix,
        ).subjects
    return found


def _check_subjects(study: Study, root: Path) -> None:
    about = study.phenotypes
    named: dict[str, Any] = {"id_columns": about.id, "id_prefix": about.id_prefix, "sessions": about.sessions}
    path = root / about.file
    targets = {name: target.model_dump() for name, target in study.targets.items()}
    values, _ = read_target_values(path, targets, outlier_sd=about.outlier_sd, **named)
    found = read_phenotypes(
        path,
        group=about.group,
        site=about.site,
        stratify=study.splits.stratify,
        confounds=about.confounds,
        categorical=about.categorical,
        **named,
    )
    names = sorted(targets)
    if both := sorted({*names} & {*found.confounds, *about.confounds}):
        raise InputError(f"{path}: {both}: a target and a confound share a name")
    subjects = _subjects(study, root)
    try:
        # Those whose images turn out damaged are among them.
        cohort, _ = join_cohort(found.table, found.confounds, subjects)
        everyone = list(cohort.subjects)
        folds = _make_folds(study, cohort, found.table.loc[everyone])
        kinds = [study.targets[name].kind for name in names]
        check_targets(folds, values.loc[everyone, names], kinds=kinds, names=names)
    except CortaxError as error:
        raise type(error)(f"{path}: {error}") from error


def _make_folds(study: Study, cohort: Cohort, table: pd.DataFrame) -> Folds:
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
