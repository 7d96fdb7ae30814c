"""The guards against leakage on a whole study: its pipelines, its regions, its confounds and its targets."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from cortax.errors import ProjectError
from cortax.learning.classes import binary_task, count_classes
from cortax.learning.cohort import Cohort, Targets, open_cohort, open_targets, rows_of
from cortax.learning.folds import Folds, open_folds
from cortax.learning.leakage import LeakFinding, check_fit, find_copies, find_duplicates
from cortax.learning.regions import open_regions
from cortax.learning.search.by_class import as_multiclass
from cortax.learning.search.pipelines import make, pipeline_kind
from cortax.learning.search.reference import columns
from cortax.learning.search.spaces import sample_configs
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.workflow.lookup.results import build_log
from cortax.workloads.regions.plan.names import job_name
from cortax.workloads.regions.study.study import RegionsStudy

__all__ = ["Checked", "check_leaks"]

# A pipeline shows what it looks at on a few subjects and regions as well as on all.
_SUBJECTS, _REGIONS = 300, 40


@dataclass(frozen=True)
class Checked:
    """What was looked at, in words, and what was found."""

    what: str
    findings: tuple[LeakFinding, ...]


@dataclass(frozen=True, eq=False)
class _Loaded:
    cohort: Cohort
    folds: Folds
    targets: Targets
    regions: Mapping[str, Path]
    groups: Mapping[str, Any] | None  # None of a job of an earlier version
    rows: tuple[str, ...] = ()  # how many rows of tables were selected, in words


def check_leaks(root: Path, study: RegionsStudy) -> Iterator[Checked]:
    """Look for leaks in a study that was built.

    It is said whose rows are kept together, and how many rows of tables were selected. Every pipeline is fitted, with
    a configuration of its space, on some subjects and regions of the study, and once more with other values in the
    test rows. Every set of regions is searched for subjects that occur in two groups, and for targets; the confounds
    for targets.

    Parameters
    ----------
    root : Path
        The project.
    study : RegionsStudy

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
    if loaded.groups is not None:
        divided = loaded.groups["n_divided"]
        leak = LeakFinding("group", f"{divided} people have rows in several groups: on both sides of splits")
        yield Checked(f"groups: {loaded.groups['kept_together']}", (leak,) if divided else ())
    for note in loaded.rows:
        yield Checked(note, ())
    if loaded.cohort.confound_names:
        confounds = loaded.cohort.confound_names
        found = find_copies(
            loaded.cohort.confounds, loaded.targets.values, columns=confounds, names=names, what="confound"
        )
        yield Checked(f"{len(confounds)} confounds", tuple(found))
    if loaded.cohort.harmonise is not None and loaded.cohort.harmonise.preserved:
        preserved = loaded.cohort.harmonise.preserved
        covariates = loaded.cohort.harmonise.site_columns[:, 1:]
        found = find_copies(
            covariates, loaded.targets.values, columns=preserved, names=names, what="preserved covariate"
        )
        yield Checked(f"{len(preserved)} covariates that harmonisation preserves", tuple(found))
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


def _load(root: Path, study: RegionsStudy) -> _Loaded:
    jobs = build_log(root, study.name)["jobs"]

    def folder(name: str) -> Path:
        if name not in jobs:
            raise ProjectError(f"study {study.name!r} was built without {name!r}; build it again")
        outputs.check(jobs_folder(root) / jobs[name])
        return jobs_folder(root) / str(jobs[name])

    split = folder("split")
    cohort = open_cohort(split)
    targets = open_targets([folder(job_name("target", {"target": name})) for name in sorted(study.targets)], cohort)
    made = {**dict.fromkeys(study.tables, "table"), **dict.fromkeys(study.connectivity, "connectivity")}
    steps = [(name, made.get(name, "parcellate")) for name in study.region_sets]
    regions = {name: folder(job_name(step, {"parcellation": name})) for name, step in steps}
    path = jobs_folder(root) / jobs.get("phenotype", "") / "groups.json"
    groups = json.loads(path.read_text()) if path.exists() else None
    rows = [f"phenotypes: {note}" for note in (groups or {}).get("notes", ())]
    for name, made_in in regions.items():
        if (path := made_in / "rows.json").exists():
            rows += [f"table {name}: {note}" for note in json.loads(path.read_text())["notes"]]
    return _Loaded(cohort, open_folds(split), targets, regions, groups, tuple(rows))


def _check_pipeline(study: RegionsStudy, pipeline: str, loaded: _Loaded, regions: str) -> Iterator[Checked]:
    """Check one pipeline on the first target of each task that it can predict."""
    about = study.pipelines[pipeline]
    kind = pipeline_kind(about.kind, about.estimators, name=pipeline)
    opened = open_regions(loaded.regions[regions])
    rows = rows_of(loaded.cohort, opened.subjects, f"regions of {regions!r}")
    for task in sorted(task for task in set(loaded.targets.tasks) if binary_task(task) in kind.estimators):
        number = loaded.targets.tasks.index(task)
        y = loaded.targets.values[:, number]
        some = _some(np.flatnonzero(~np.isnan(y)), loaded.folds.test[0])
        harmonise = loaded.cohort.harmonise
        if harmonise is not None:
            # Some subjects may be of sites that only others are of.
            harmonise = replace(harmonise, site_columns=harmonise.site_columns[some], unseen="pooled")
        X, n_confounds = columns(opened.values[rows[some], :_REGIONS], loaded.cohort.confounds[some], harmonise)
        config = sample_configs(about.kind, task, 1, seed=study.seed, space=about.space)[0]
        model = make(kind, task, config, n_confounds=n_confounds, harmonise=harmonise, seed=study.seed)
        truth = y[some] if task == "regression" else y[some].astype(np.int64)
        model = as_multiclass(model, kind, task, count_classes(task, y))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = check_fit(model, X, truth, test=loaded.folds.test[0][some])
        yield Checked(f"pipeline {pipeline}, {task} ({loaded.targets.names[number]})", tuple(found))


def _some(known: npt.NDArray[np.int64], test: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Some subjects whose target is known, a third of them held out, from all over: sites may follow each other."""
    wanted = (test, _SUBJECTS // 3), (~test, _SUBJECTS - _SUBJECTS // 3)
    parts = [(known[rows[known]], most) for rows, most in wanted]
    spread = [part[np.linspace(0, len(part) - 1, min(most, len(part))).astype(int)] for part, most in parts]
    return np.sort(np.concatenate(spread))
