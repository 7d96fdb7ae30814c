"""What the last build of a study found, for people at a terminal."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.errors import ProjectError, StudyError, choices
from cortax.grid.failures import JobFailure
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.scores import METRICS

__all__ = [
    "attempts_table",
    "best",
    "build_log",
    "comparison_table",
    "failed_fits",
    "filtered",
    "left_out",
    "permutation_tests",
    "scaling_report",
    "score_table",
    "summary",
]


def _linked(root: Path, study: str, name: str) -> Path:
    path = root / "results" / study / name
    if not path.exists():
        built = sorted(p.name for p in (root / "results").glob("*") if (p / name).exists())
        hint = choices(study, built) if built else "no study has been built yet; run `make build`"
        raise ProjectError(f"no results of study {study!r}: {hint}")
    return path


def score_table(root: Path, study: str) -> pd.DataFrame:
    """Return the scores of the last finished build: one row a parcellation, pipeline, target, fold and metric.

    Raises
    ------
    ProjectError
        The study has not been built here, or its table was altered since.
    """
    path = _linked(root, study, "scores.parquet").resolve()
    outputs.check(path.parent)
    return pd.read_parquet(path)


def _job_of(root: Path, study: str, job: str, what: str, section: str) -> Path:
    """Folder of a job that only some studies ask for, checked."""
    made = build_log(root, study)["jobs"].get(job)
    if made is None:
        raise ProjectError(
            f"the last build of study {study!r} has no {what}: put {section} into its file and build it; if that is "
            f"there, `cortax errors {study}` says what failed"
        )
    folder = jobs_folder(root) / str(made)
    outputs.check(folder)
    return folder


def permutation_tests(root: Path, study: str) -> pd.DataFrame:
    """Return the permutation tests of the last finished build, see `permutation_table`.

    Raises
    ------
    ProjectError
        The study has not been built here, or without permutations, or its table was altered since.
    """
    folder = _job_of(root, study, "permutation-tests", "permutation tests", "[statistics] with permutations = 1000")
    return pd.read_parquet(folder / "permutations.parquet")


def comparison_table(root: Path, study: str, name: str) -> pd.DataFrame:
    """Return a table of the comparisons of the last finished build: `comparisons`, `over_targets` or `intervals`.

    Raises
    ------
    ProjectError
        The study has not been built here, or without comparisons, or the table was altered since.
    """
    folder = _job_of(root, study, "compare", "comparisons", "[comparisons]")
    return pd.read_parquet(folder / f"{name}.parquet")


def build_log(root: Path, study: str) -> dict[str, Any]:
    """Return what the last build that ran any job did: `jobs` and `ran`, by job name.

    Raises
    ------
    ProjectError
        The study has not been built here.
    """
    content: dict[str, Any] = json.loads(_linked(root, study, "build.json").read_text())
    return content


def scaling_report(root: Path, study: str) -> dict[str, Any]:
    """Return what the last finished build found of scaling, see `cortax.scaling.analysis`.

    Raises
    ------
    ProjectError
        The study has not been built here, or has no scaling analysis, or that was altered since.
    """
    folder = _job_of(root, study, "scaling", "scaling analysis", "[scaling]")
    content: dict[str, Any] = json.loads((folder / "scaling.json").read_text(encoding="utf-8"))
    return content


def filtered(table: pd.DataFrame, conditions: list[str]) -> pd.DataFrame:
    """Keep the rows that meet every condition.

    Parameters
    ----------
    table : DataFrame
        The scores.
    conditions : list of str
        `column=pattern`, where the pattern may hold `*` and `?`, or alternatives separated by commas.

    Raises
    ------
    StudyError
        A condition has no `=`, or names a column that the table does not have.
    """
    for condition in conditions:
        column, equals, patterns = condition.partition("=")
        if not equals:
            raise StudyError(f"--where {condition!r}: must look like column=value, such as target=sex")
        if column not in table:
            raise StudyError(f"--where {condition!r}: {choices(column, table.columns)}")
        keep = [
            any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns.split(","))
            for value in table[column].astype(str)
        ]
        table = table[keep]
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the mean over folds, best first within target and metric, with its interval as text.

    Returns
    -------
    DataFrame
        target, metric, parcellation, pipeline, value, interval, n_subjects.
    """
    means = table[table["fold"] == "mean"]
    # For an error, such as the mean squared error, the best is the smallest.
    errors = [name for name, metric in METRICS.items() if not metric.greater_is_better]
    order = means["value"].where(~means["metric"].isin(errors), -means["value"])
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


def left_out(root: Path, study: str) -> pd.DataFrame:
    """List the subjects that are not in the study, each with the first reason that was found.

    Returns
    -------
    DataFrame
        participant_id, reason, file.
    """
    jobs = build_log(root, study)["jobs"]
    parts = []
    for name in ("load", "phenotype", "split"):
        if name in jobs:
            parts.append(pd.read_csv(jobs_folder(root) / jobs[name] / "dropped.csv", dtype=str).fillna(""))
    found = pd.concat(parts, ignore_index=True).drop_duplicates("participant_id")
    return found.reindex(columns=["participant_id", "reason", "file"]).fillna("").reset_index(drop=True)


def attempts_table(failures: Iterable[JobFailure]) -> pd.DataFrame:
    """List every attempt at every unit that failed: one row each, sizes in GB.

    Returns
    -------
    DataFrame
        job, targets, outer, attempt, kind, message, seconds, peak, allowed, needs, workers, again.
    """
    rows = [
        {
            "job": failure.name,
            "targets": ", ".join(dict.fromkeys(target for target, _ in unit.cells)),
            "outer": ", ".join(str(outer) for outer in dict.fromkeys(outer for _, outer in unit.cells)),
            "attempt": unit.attempt,
            "kind": unit.kind,
            "message": unit.message,
            "seconds": unit.seconds,
            **{name: getattr(unit, name) / 1e9 for name in ("peak", "allowed", "needs")},
            "workers": unit.workers,
            "again": "next build" if unit.final else "was tried again",
        }
        for failure in failures
        for unit in failure.units
    ]
    return pd.DataFrame(rows)


def failed_fits(root: Path, study: str) -> pd.DataFrame:
    """Count the single fits that failed inside searches that ended well: such a configuration is not chosen.

    Returns
    -------
    DataFrame
        job, target, kind, message, fits.
    """
    rows = []
    for name, job in build_log(root, study)["jobs"].items():
        path = jobs_folder(root) / job / "search.json"
        if path.exists():
            for failure in json.loads(path.read_text())["failures"]:
                rows.append({"job": name, **{key: str(failure[key]) for key in ("target", "kind", "message")}})
    columns = ["job", "target", "kind", "message"]
    return pd.DataFrame(rows, columns=columns).value_counts(sort=False).rename("fits").reset_index()
