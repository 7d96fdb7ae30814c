"""Work in a clean process on a capsule's mapped arrays: the same bytes as here, for every kind of pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cortax.ensemble.inner import predict_inner
from cortax.folds import make_folds
from cortax.grid.engines import remote
from cortax.grid.engines.capsule import Ticket, open_capsule
from cortax.grid.engines.capsule_evaluation import write_evaluation_capsule
from cortax.grid.engines.capsule_inner import write_inner_capsule
from cortax.grid.engines.capsule_search import write_search_capsule
from cortax.grid.engines.remote import Task, work
from cortax.search.cells import Batch, Problem, collect
from cortax.search.pipelines import pipeline_kind
from cortax.search.refit import evaluate_batch
from cortax.search.solvers import plan_batches, search_batch
from cortax.search.spaces import sample_configs
from cortax.search.store import StoredSearch
from cortax.search.store_cells import read_evaluation, read_search

N = 60
TASKS = ("regression", "classification")
ESTIMATORS = {
    "sklearn": {"regression": "sklearn.linear_model:Lasso", "classification": "sklearn.naive_bayes:GaussianNB"}
}


@pytest.fixture(autouse=True)
def _no_helpers_left() -> Iterator[None]:
    yield
    remote._end_helpers()
    assert not remote._waiting


def _problem(kind: str) -> Problem:
    rng = np.random.default_rng(3)
    regions = rng.normal(size=(N, 8)).astype(np.float32)
    regions[5, 3] = np.nan
    signal = regions[:, 0] + rng.normal(size=N)
    return Problem(
        regions=regions,
        targets=np.column_stack([signal, signal > 0]).astype(np.float64),
        tasks=TASKS,
        names=("score", "group"),
        folds=make_folds(np.arange(N), n_outer=2, n_inner=2, seed=1),
        kind=kind,
        configs={task: sample_configs(kind, task, 3, seed=0, space={}) for task in TASKS},
        confounds=rng.normal(size=(N, 2)),
        seed=5,
    )


def _do(ticket: Ticket, batches: list[Batch]) -> dict[tuple[int, int], bytes]:
    outcomes, threads = work(Task(ticket, 1 << 30), range(len(batches)))
    assert [outcome.what for outcome in outcomes] == ["done"] * len(batches), [outcome.message for outcome in outcomes]
    assert set(threads.values()) == {1}
    return {
        (target, batch.outer): value
        for batch, outcome in zip(batches, outcomes, strict=True)
        for target, value in zip(batch.targets, outcome.values, strict=True)
    }


@pytest.mark.parametrize("kind", ["ridge", "elastic", "svm", "lgbm", "sklearn"])
def test_searches_and_evaluations_are_those_of_this_process(kind: str, tmp_path: Path) -> None:
    problem, estimators = _problem(kind), ESTIMATORS.get(kind, {})
    pipeline, batches = pipeline_kind(kind, estimators, name=kind), plan_batches(problem)
    wanted = {}
    for batch in batches:
        wanted |= search_batch(problem, batch, pipeline)
    found = _do(write_search_capsule(tmp_path / "search", problem, batches, estimators), batches)
    for cell, content in found.items():
        assert read_search(content).scores.tobytes() == wanted[cell].scores.tobytes()
        assert read_search(content).failures == wanted[cell].failures
    assert set(found) == set(wanted)

    search = collect(wanted, 2, problem.folds, problem.configs)
    configs = {task: list(map(dict, told)) for task, told in problem.configs.items()}
    stored = StoredSearch(search.scores, configs, {}, {})
    ticket = write_evaluation_capsule(tmp_path / "evaluation", problem, batches, estimators, stored, "best")
    refitted = _do(ticket, batches)
    ticket = write_inner_capsule(tmp_path / "inner", problem, batches, estimators, stored, "best")
    within = _do(ticket, batches)
    for batch in batches:
        scores = {t: search.scores[t, batch.outer] for t in batch.targets}
        asked = {"scores": scores, "configs": {t: configs[problem.tasks[t]] for t in batch.targets}, "rule": "best"}
        for answers, answer in ((refitted, evaluate_batch), (within, predict_inner)):
            for cell, told in answer(problem, batch, pipeline, **asked).items():
                there = read_evaluation(answers[cell])
                assert there.chosen == told.chosen
                assert len(told.predictions)
                assert there.predictions.tobytes() == told.predictions.tobytes()


def test_arrays_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    problem = _problem("ridge")
    capsule = open_capsule(write_search_capsule(tmp_path / "c", problem, plan_batches(problem), {}))
    assert set(capsule.arrays) == {"regions", "targets", "test", "valid", "repeat", "confounds"}
    for values in capsule.arrays.values():
        assert isinstance(values, np.memmap)
        assert not values.flags.writeable
    assert capsule.arrays["regions"].tobytes() == problem.regions.tobytes()


def test_a_helper_serves_many_calls_and_is_replaced_when_it_was_killed(tmp_path: Path) -> None:
    problem = _problem("ridge")
    task = Task(write_search_capsule(tmp_path / "c", problem, plan_batches(problem), {}), 1 << 30)
    first, _ = work(task, [0])
    (helper,) = remote._waiting
    work(task, [1])
    assert remote._waiting == [helper]
    os.kill(helper._process.pid, 9)
    again, _ = work(task, [0])
    assert remote._waiting != [helper]
    assert read_search(again[0].values[0]).scores.tobytes() == read_search(first[0].values[0]).scores.tobytes()
