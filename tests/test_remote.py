"""Work in a clean process on a payload's mapped arrays: the same bytes as here, for every kind of pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortax.learning.ensemble.inner import predict_inner
from cortax.learning.folds import make_folds
from cortax.learning.search.cells import CellSearch, Problem, collect
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.solvers import search_batch
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.store import StoredSearch
from cortax.payload import open_payload, open_sealed
from cortax.workflow.work import remote
from cortax.workflow.work.payload import open_task, write_payload
from cortax.workflow.work.remote import WorkerSetup, work
from cortax.workloads.regions.tasks.evaluate import EvaluationTask
from cortax.workloads.regions.tasks.inner import InnerTask
from cortax.workloads.regions.tasks.problem import CutProblem
from cortax.workloads.regions.tasks.search import SearchTask

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


def _do(folder: Path, task: Any) -> dict[tuple[int, int], Any]:
    units = task.units()
    outcomes, threads = work(WorkerSetup(write_payload(folder, task), 1 << 30), range(len(units)))
    assert [outcome.what for outcome in outcomes] == ["done"] * len(units), [outcome.message for outcome in outcomes]
    assert set(threads.values()) == {1}
    values: dict[str, bytes] = {}
    for unit, outcome in zip(units, outcomes, strict=True):
        values |= zip(unit.keys, outcome.values, strict=True)
    found: dict[tuple[int, int], Any] = task.read(values)
    return found


@pytest.mark.parametrize("kind", ["ridge", "elastic", "svm", "lgbm", "sklearn"])
def test_searches_and_evaluations_are_those_of_this_process(kind: str, tmp_path: Path) -> None:
    problem, estimators = _problem(kind), ESTIMATORS.get(kind, {})
    cut = CutProblem.of(problem, estimators)
    wanted = {}
    for batch in cut.batches:
        wanted |= search_batch(problem, batch, cut.pipeline)
    searches = _do(tmp_path / "search", SearchTask(cut))
    for cell, found in searches.items():
        assert found.scores.tobytes() == wanted[cell].scores.tobytes()
        assert found.failures == wanted[cell].failures
    assert set(searches) == set(wanted)

    search = collect(wanted, 2, problem.folds, problem.configs)
    configs = {task: list(map(dict, told)) for task, told in problem.configs.items()}
    searched = cut, StoredSearch(search.scores, configs, {}, {}), "best"
    refitted = _do(tmp_path / "evaluation", EvaluationTask(*searched))
    within = _do(tmp_path / "inner", InnerTask(*searched))
    for batch in cut.batches:
        scores = {t: search.scores[t, batch.outer] for t in batch.targets}
        asked = {"scores": scores, "configs": {t: configs[problem.tasks[t]] for t in batch.targets}, "rule": "best"}
        for answers, answer in ((refitted, evaluate_batch), (within, predict_inner)):
            for cell, told in answer(problem, batch, cut.pipeline, **asked).items():
                there = answers[cell]
                assert there.chosen == told.chosen
                assert len(told.predictions)
                assert there.predictions.tobytes() == told.predictions.tobytes()


def test_arrays_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    problem = _problem("ridge")
    write_payload(tmp_path / "p", SearchTask(CutProblem.of(problem, {})))
    arrays, _ = open_payload(tmp_path / "p")
    assert set(arrays) == {"regions", "targets", "test", "valid", "repeat", "confounds"}
    for values in arrays.values():
        assert isinstance(values, np.memmap)
        assert not values.flags.writeable
    assert arrays["regions"].tobytes() == problem.regions.tobytes()


def test_a_task_comes_back_as_it_was(tmp_path: Path) -> None:
    task = SearchTask(CutProblem.of(_problem("ridge"), {}))
    found = open_task(write_payload(tmp_path / "p", task))
    assert found.units() == task.units()


def test_a_helper_serves_many_calls_and_is_replaced_when_it_was_killed(tmp_path: Path) -> None:
    task = SearchTask(CutProblem.of(_problem("ridge"), {}))
    setup = WorkerSetup(write_payload(tmp_path / "p", task), 1 << 30)
    first, _ = work(setup, [0])
    (helper,) = remote._waiting
    work(setup, [1])
    assert remote._waiting == [helper]
    os.kill(helper._process.pid, 9)
    again, _ = work(setup, [0])
    assert remote._waiting != [helper]
    scores = []
    for done in (first, again):
        key = task.units()[0].keys[0]
        scores.append(CellSearch.from_bytes(open_sealed(key, done[0].values[0])).scores.tobytes())
    assert scores[0] == scores[1]
