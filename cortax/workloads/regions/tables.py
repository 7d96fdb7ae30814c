"""Tables of a study of brain regions as people look them up."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.brain.data.dropped import read_dropped
from cortax.errors import ProjectError
from cortax.learning.importance.found import TABLE, strongest
from cortax.learning.scores import metric_sign
from cortax.project import jobs_folder
from cortax.workflow.lookup.results import job_folder, tables_of_jobs
from cortax.workflow.workload import Table
from cortax.workloads.regions.class_names import class_names, name_classes

__all__ = [
    "best",
    "failed_fits",
    "importance",
    "left_out",
    "readable_comparisons",
    "readable_permutations",
    "scaling_report",
    "strongest_of_models",
    "summary",
    "unscored",
    "weights",
]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the mean over folds, best first within target and metric, with its interval as text.

    Returns
    -------
    DataFrame
        target, metric, parcellation, pipeline, value, interval, n_subjects.
    """
    means = table[table["fold"] == "mean"]
    # For an error, such as the mean squared error, the best is the smallest.
    order = means["value"] * means["metric"].map(metric_sign).astype(float)
    means = means.assign(
        order=order,
        interval=[f"{low:.3f} to {high:.3f}" for low, high in zip(means["low"], means["high"], strict=True)],
    )
    means = means.sort_values(["target", "metric", "order"], ascending=[True, True, False], kind="stable")
    columns = ["target", "metric", "parcellation", "pipeline", "value", "interval", "n_subjects"]
    return means[columns].reset_index(drop=True)


def best(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the best parcellation and pipeline for each target, by the first metric that was reported for it.

    The best of many is an optimistic choice: it was made by the very scores that are shown.
    """
    first = table.drop_duplicates("target").set_index("target")["metric"]
    means = summary(table)
    return means[means["metric"] == means["target"].map(first)].drop_duplicates("target").reset_index(drop=True)


def left_out(root: Path, log: dict[str, Any]) -> pd.DataFrame:
    """List the subjects that are not in the study, sorted, each with the first reason that was found.

    Returns
    -------
    DataFrame
        participant_id, reason, file.
    """
    jobs = log["jobs"]
    # What is not in a table is first told of by that table, and only then by the split.
    read = [name for name in jobs if name.startswith(("table/", "connectivity/"))]
    names = ["load", *read, "phenotype", "split"]
    found = read_dropped(jobs_folder(root) / jobs[name] for name in names if name in jobs)
    return found.sort_values("participant_id", ignore_index=True)


def failed_fits(root: Path, log: dict[str, Any]) -> pd.DataFrame:
    """Count the single fits that failed inside searches that ended well: such a configuration is not chosen.

    Returns
    -------
    DataFrame
        job, target, kind, message, fits.
    """
    rows = []
    for name, job in log["jobs"].items():
        path = jobs_folder(root) / job / "search.json"
        if path.exists():
            for failure in json.loads(path.read_text())["failures"]:
                rows.append({"job": name, **{key: str(failure[key]) for key in ("target", "kind", "message")}})
    columns = ["job", "target", "kind", "message"]
    return pd.DataFrame(rows, columns=columns).value_counts(sort=False).rename("fits").reset_index()


def unscored(root: Path, log: dict[str, Any]) -> list[str]:
    """Say which models have no score (NaN) for a target by a metric, and why where a fit failed."""
    jobs = log["jobs"]
    if "scores" not in jobs:
        return []
    table = pd.read_parquet(jobs_folder(root) / jobs["scores"] / "scores.parquet")
    lacking = table[(table["fold"] == "mean") & table["value"].isna()]
    failures = functools.cache(lambda model: _failures(root, jobs, model))
    said = []
    for row in lacking.itertuples():
        model, target = f"{row.parcellation}/{row.pipeline}", str(row.target)
        why = failures(model).get(target)
        said.append(f"{model}, target {target!r}: no {row.metric} (NaN)" + (f": {why}" if why else ""))
    return said


def _failures(root: Path, jobs: dict[str, str], model: str) -> dict[str, str]:
    """Why fits of a model failed: for each target the first message."""
    names = [f"{step}/{model}" for step in ("collect", "evaluate", "ensemble") if f"{step}/{model}" in jobs]
    found: dict[str, str] = {}
    for path in (jobs_folder(root) / jobs[name] / "models.json" for name in names):
        about = json.loads(path.read_text()) if path.exists() else {"failures": []}
        for failure in about["failures"]:
            found.setdefault(str(about["targets"][failure["target"]]), str(failure["message"]))
    return found


def importance(root: Path, log: dict[str, Any]) -> pd.DataFrame:
    """Return the importance of every region, see `cortax.learning.importance.found.average`.

    Returns
    -------
    DataFrame
        parcellation, pipeline, target, kind, map, region, mean, sd, same_sign, n_folds; where a target has several
        classes also `class`, by name, or "> NAME" of an ordinal one.

    Raises
    ------
    ProjectError
        The study does not ask for it.
    """
    # A job of some targets or of one fold is part of another.
    parts = [(job, key) for job, key in _of(log, "importance") if {*key} == {"parcellation", "pipeline"}]
    by_model = {tuple(key.values()): (job, key) for job, key in [*parts, *_of(log, "importances")]}
    return _named_table(root, log, [*by_model.values()], Table("", TABLE, "importance", missing="[importance]"))


def strongest_of_models(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the ten strongest regions of each model, target, kind, class and map."""
    return strongest(table, 10)


def weights(root: Path, log: dict[str, Any]) -> pd.DataFrame:
    """Return how much each member of each ensemble counts, see `cortax.learning.ensemble.strategies.weights_table`.

    Returns
    -------
    DataFrame
        parcellation (the ensemble), pipeline, target, outer, member, weight; of stacked models of several classes also
        `class` and `predicted`, by name.

    Raises
    ------
    ProjectError
        The study has no ensemble.
    """
    table = Table("", "weights.parquet", "ensembles", missing="[ensembles.NAME]")
    return _named_table(root, log, _of(log, "ensemble"), table)


def _of(log: dict[str, Any], method: str) -> list[tuple[str, dict[str, str]]]:
    """Ids and keys of the jobs of a method."""
    jobs = log["jobs"]
    return [
        (jobs[name], what["key"]) for name, what in log["what"].items() if what["method"] == method and name in jobs
    ]


def _named_table(
    root: Path, log: dict[str, Any], jobs: Sequence[tuple[str, dict[str, str]]], table: Table
) -> pd.DataFrame:
    """The tables of jobs, each after columns of its key, with names in the place of numbers of classes."""
    if not jobs:
        raise ProjectError(f"the last build has no {table.help}: put {table.missing} into the study file and build it")
    # One by one: two parcellations whose regions are the same share a job.
    found = pd.concat([tables_of_jobs(root, table, {job: key}) for job, key in jobs], ignore_index=True)
    found = found.fillna({name: "" for name in ("class", "predicted") if name in found})
    return name_classes(found, {key["target"]: class_names(jobs_folder(root) / job) for job, key in _of(log, "target")})


def scaling_report(root: Path, study: str) -> dict[str, Any]:
    """Return what the last finished build says of scaling, see `cortax.learning.scaling.analysis`.

    Raises
    ------
    ProjectError
        The study has not been built here, or has no scaling analysis, or that was altered since.
    """
    folder = job_folder(root, study, "scaling", "scaling analysis", "[scaling]")
    content: dict[str, Any] = json.loads((folder / "scaling.json").read_text(encoding="utf-8"))
    return content


def readable_comparisons(table: pd.DataFrame) -> pd.DataFrame:
    """Keep what fits a terminal, smallest p first within what is compared."""
    table = table.sort_values(["kind", "within", "metric", "p"], kind="stable")
    intervals = [f"{low:.3f} to {high:.3f}" for low, high in zip(table["low"], table["high"], strict=True)]
    sides = zip(table["p_left"], table["p_rope"], table["p_right"], strict=True)
    practical = [f"{left:.2f} {rope:.2f} {right:.2f}" for left, rope, right in sides]
    first, then = ["kind", "within", "target", "metric", "a", "b"], ["difference", "interval", "p", "p_fdr"]
    return table.assign(interval=intervals, practical=practical)[[*first, *then, "practical", "note"]]


def readable_permutations(table: pd.DataFrame) -> pd.DataFrame:
    """Keep what fits a terminal, smallest p first for each target and metric."""
    columns = ["target", "metric", "parcellation", "pipeline", "value", "null_mean", "null_sd", "p", "q", "p_max"]
    return table.sort_values(["target", "metric", "p"], kind="stable")[columns]
