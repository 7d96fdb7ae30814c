"""What searches and refits are expected to take, by the measured cost table. No result depends on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cortax.learning.classes import binary_task
from cortax.workflow.plan.jobspec import Work
from cortax.workloads.regions.cost_table import FIT, MEMORY, REFIT

__all__ = ["ModelWork", "expected_work"]

Law = tuple[float, float, float]
Arrays = tuple[float, float, float, float]

# Of what cannot be known, such as a class that a study names: a guess, until a build has measured it.
UNKNOWN: Law = (1e-7, 1.0, 1.0)
# As many arrays as scikit-learn's own steps make of the regions: also a guess, until a build has measured it.
UNKNOWN_ARRAYS: Arrays = (3.0, 0.0, 0.0, 0.0)
# How many targets a solver takes at a time, `TOGETHER` of its module: all, or so many. Others take one.
_TOGETHER = {
    ("ridge", "regression"): None,
    ("ridge", "classification"): None,
    ("elastic", "regression"): 15,
    ("elastic", "classification"): None,
    ("svm", "regression"): 8,
    ("svm", "classification"): 8,
}


@dataclass(frozen=True)
class ModelWork:
    """Models of one parcellation and pipeline that are searched or refitted.

    Attributes
    ----------
    kind : str
        Of the pipeline.
    pipeline : str
        Its name in the study.
    n_subjects, n_regions : int
    n_targets : mapping of task to int
    n_configs : int
    n_outer, n_inner : int
        Folds that the job works on.
    """

    kind: str
    pipeline: str
    n_subjects: int
    n_regions: int
    n_targets: Mapping[str, int]
    n_configs: int
    n_outer: int
    n_inner: int


def expected_work(method: str, models: ModelWork) -> Work:
    """Return what a job of a method has to do with some models.

    Parameters
    ----------
    method : {"tune", "evaluate", "inner", "permute"}
        A search; a refit; a refit for every inner fold; or, of permuted targets, a search and a refit.
    models : ModelWork
    """
    n, p = models.n_subjects, models.n_regions
    sizes = (n * p, p * p, n * n, 1)
    law = MEMORY.get(models.kind, UNKNOWN_ARRAYS)
    return Work(
        group=models.pipeline,
        n_units=sum(models.n_targets.values()) * models.n_outer,
        batches=tuple((number, seconds) for number, seconds in _batches(method, models) if number),
        unit_bytes=8 * sum(each * size for each, size in zip(law, sizes, strict=True)),
        shared_bytes=4.0 * n * p,
    )


def _batches(method: str, models: ModelWork) -> Iterator[tuple[int, float]]:
    """How many batches take how many CPU seconds; several entries where they are not alike."""
    if method == "permute":
        yield from (*_batches("tune", models), *_batches("evaluate", models))
        return
    searches = method == "tune"
    laws, fits = (FIT, models.n_inner * models.n_configs) if searches else (REFIT, 1)
    fits = models.n_inner if method == "inner" else fits
    for task, n_targets in models.n_targets.items():
        each = fits * _seconds(_law(laws, models.kind, task), models.n_subjects, models.n_regions)
        size = min(_TOGETHER.get((models.kind, binary_task(task)), 1) or n_targets, n_targets)
        yield models.n_outer * (n_targets // size), size * each
        yield models.n_outer * bool(n_targets % size), n_targets % size * each


def _law(laws: Mapping[tuple[str, str], Law], kind: str, task: str) -> Law:
    task = binary_task(task)
    other = {"regression": "classification", "classification": "regression"}[task]
    return laws.get((kind, task)) or laws.get((kind, other)) or UNKNOWN


def _seconds(law: Law, n_subjects: int, n_regions: int) -> float:
    scale, of_subjects, of_regions = law
    return float(scale * max(n_subjects, 1) ** of_subjects * max(n_regions, 1) ** of_regions)
