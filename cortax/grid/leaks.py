"""The guards against leakage on a whole study: its pipelines, its regions, its confounds and its targets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from cortax.cohort import Cohort, Targets, open_cohort, open_targets, rows_of
from cortax.data.regions import open_regions
from cortax.errors import ProjectError
from cortax.folds import Folds, open_folds
from cortax.grid.results import build_log
from cortax.leakage import Finding, check_fit, find_copies, find_duplicates
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.search.pipelines import make, pipeline_kind
from cortax.search.reference import columns
from cortax.search.spaces import sample_configs
from cortax.study import Study

__all__ = ["Checked", "check_leaks"]

# A pipeline shows what it looks at on a few subjects and regions as well as on all.
_SUBJECTS, _REGIONS = 300, 40


@dataclass(frozen=True)
class Checked:
    """What was looked at, in words, and what was found."""

    what: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class _Loaded:
    cohort: Cohort
    folds: Folds
    targets: Targets
    regions: Mapping[str, Path]


def check_leaks(root: Path, study: Study) -> Iterator[Checked]:
    """Look for leaks in a study that was built.

    Every pipeline is fitted, with a configuration of its space, on some subjects and regions of the study, and once
    more with other values in the test rows. Every set of regions is searched for subjects that occur in two groups,
    and for targets; the confounds for targets.

    Parameters
    ----------
    root : Path
        The project.
    study : Study

    Yields
    ------
    Checked

    Raises
    ------
    ProjectError
        The study was not built, or a job of it is damaged.
    """
    loaded = _load(root, study)
    names = loaded.targets.names
    if loaded.cohort.confound_names:
        confounds = loaded.cohort.confound_names
        found = find_copies(
            loaded.cohort.confounds, loaded.targets.values, columns=confounds, names=names, what="confound"
        )
        yield Checked(f"{len(confounds)} confounds", tuple(found))
    for name, folder in loaded.regions.items():
        opened = open_regions(folder)
        values = np.asarray(opened.values[rows_of(loaded.cohort, opened.subjects, f"regions of {name!r}")], np.float64)
        yield Checked(
            f"regions of {name}, {values.shape[0]} subjects x {values.shape[1]} columns",
            (
                *find_duplicates(values, loaded.cohort.groups, ids=loaded.cohort.subjects),
                *find_copies(values, loaded.targets.values, columns=opened.columns, names=names, what="region"),
            ),
        )
    smallest = min(loaded.regions, key=lambda name: len(open_regions(loaded.regions[name]).columns))
    for pipeline in study.pipelines:
        yield from _check_pipeline(study, pipeline, loaded, smallest)


def _load(root: Path, study: Study) -> _Loaded:
    jobs = build_log(root, study.name)["jobs"]

    def folder(name: str) -> Path:
        if name not in jobs:
            raise ProjectError(f"study {study.name!r} was built without {name!r}; build it again")
        outputs.check(jobs_folder(root) / jobs[name])
        return jobs_folder(root) / str(jobs[name])

    split = folder("split")
    cohort = open_cohort(split)
    targets = open_targets([folder(f"target/{name}") for name in sorted(study.targets)], cohort)
    made = [(name, "parcellate" if name in study.parcellations else "table") for name in study.region_sets]
    regions = {name: folder(f"{method}/{name}") for name, method in made}
    return _Loaded(cohort, open_folds(split), targets, regions)


def _check_pipeline(study: Study, pipeline: str, loaded: _Loaded, regions: str) -> Iterator[Checked]:
    """Check one pipeline on the first target of each task that it can predict."""
    about = study.pipelines[pipeline]
    estimators = {task: getattr(about, task) for task in ("regression", "classification") if getattr(about, task)}
    kind = pipeline_kind(about.kind, estimators, name=pipeline)
    opened = open_regions(loaded.regions[regions])
    rows = rows_of(loaded.cohort, opened.subjects, f"regions of {regions!r}")
    for task in sorted(set(loaded.targets.tasks) & set(kind.estimators)):
        number = loaded.targets.tasks.index(task)
        y = loaded.targets.values[:, number]
        some = _some(np.flatnonzero(~np.isnan(y)), loaded.folds.test[0])
        X, n_confounds = columns(opened.values[rows[some], :_REGIONS], loaded.cohort.confounds[some])
        config = sample_configs(about.kind, task, 1, seed=study.seed, space=about.space)[0]
        model = make(kind, task, config, n_confounds=n_confounds, seed=study.seed)
        truth = y[some] if task == "regression" else y[some].astype(np.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = check_fit(model, X, truth, test=loaded.folds.test[0][some])
        yield Checked(f"pipeline {pipeline}, {task} ({loaded.targets.names[number]})", tuple(found))


def _some(known: npt.NDArray[np.int64], test: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Some subjects whose target is known, a third of them held out."""
    held_out, train = known[test[known]], known[~test[known]]
    return np.sort(np.concatenate([held_out[: _SUBJECTS // 3], train[: _SUBJECTS - _SUBJECTS // 3]]))
