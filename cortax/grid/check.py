"""Whether a study can work at all, found out in a second and before anything runs."""

from __future__ import annotations

from pathlib import Path

from cortax.data.phenotype_table import read_phenotypes
from cortax.data.spaces import Space
from cortax.data.textfiles import column_names
from cortax.errors import CortaxError, InputError, SearchError, StudyError
from cortax.folds import make_folds
from cortax.parcellation.specs import check_spec
from cortax.scores import get_metric
from cortax.search.pipelines import pipeline_kind
from cortax.search.reference import check_scorer
from cortax.search.spaces import sample_configs
from cortax.study import Pipeline, Study

__all__ = ["check_study"]


def check_study(study: Study, root: Path) -> None:
    """Look at everything that a study names and that can be looked at without reading an image.

    Raises
    ------
    CortaxError
        Something is missing or wrong; the message names it, and the place in the study where it stands.
    """
    tasks: list[str] = sorted({target.kind for target in study.targets.values()})
    for name, pipeline in study.pipelines.items():
        _check_pipeline(name, pipeline, tasks, study.seed)
    for task in tasks:
        check_scorer(getattr(study.search, task), task)
        for metric in getattr(study.evaluate.metrics, task):
            get_metric(metric, task)
    _check_regions(study, root)
    _check_subjects(study, root)


def _check_pipeline(name: str, pipeline: Pipeline, tasks: list[str], seed: int) -> None:
    try:
        estimators = {task: getattr(pipeline, task) for task in tasks if getattr(pipeline, task)}
        pipeline_kind(pipeline.kind, estimators, name=name)
        for task in tasks:
            sample_configs(pipeline.kind, task, 1, seed=seed, space=pipeline.space)
    except SearchError as error:
        raise StudyError(f"pipelines.{name}: {error}") from error


def _check_regions(study: Study, root: Path) -> None:
    if study.images is not None:
        if study.images.space != "volume":
            Space.from_name(study.images.space)
        if not (root / study.images.root).is_dir():
            hint = " (run `cortax data`)" if study.simulated else ""
            raise InputError(f"{root / study.images.root}: images.root is not a folder{hint}")
    for name, spec in study.parcellations.items():
        try:
            check_spec(spec)
        except CortaxError as error:
            raise StudyError(f"parcellations.{name}: {error}") from error
    for table in study.tables.values():
        for file in table.files:
            column_names(root / file)


def _check_subjects(study: Study, root: Path) -> None:
    about = study.phenotypes
    found = read_phenotypes(
        root / about.file,
        {name: target.model_dump() for name, target in study.targets.items()},
        id_columns=about.id,
        id_prefix=about.id_prefix,
        sessions=about.sessions,
        group=about.group,
        site=about.site,
        stratify=study.splits.stratify,
        confounds=about.confounds,
        categorical=about.categorical,
        outlier_sd=about.outlier_sd,
    )
    # With the subjects of the table; those whose images turn out damaged are fewer.
    splits = study.splits
    make_folds(
        found.table["group"].to_numpy(str),
        n_outer=splits.n_outer,
        n_inner=splits.n_inner,
        n_repeats=splits.n_repeats,
        scheme=splits.scheme,
        strata=found.table["stratum"].to_numpy() if splits.stratify else None,
        n_bins=splits.n_bins,
        sites=found.table["site"].to_numpy(str) if about.site else None,
        seed=study.seed,
    )
