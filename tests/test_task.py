"""The task of a job, done by forks: the same bytes as one unit after the other, whoever did them, and gone on with."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cortax.errors import ProjectError, SearchError
from cortax.learning.folds import make_folds
from cortax.learning.search.cells import Problem, collect
from cortax.learning.search.pipelines import pipeline_kind
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.solvers import search
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.store import StoredSearch, save_search
from cortax.payload import open_sealed, seal
from cortax.workflow.task import Unit, collect_task, run_task
from cortax.workflow.work.running import checkpoint_path, count_finished
from cortax.workflow.work.settings import save_settings
from cortax.workloads.regions.tasks.evaluate import EvaluationTask
from cortax.workloads.regions.tasks.problem import CutProblem
from cortax.workloads.regions.tasks.search import SearchTask

KIND = pipeline_kind("elastic", {}, name="elastic")


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    n = 80
    X = rng.normal(size=(n, 12))
    targets = np.column_stack([X[:, 0] + rng.normal(size=n), X[:, 1] > rng.normal(size=n), rng.normal(size=n)])
    targets[3, 0] = np.nan
    tasks = ("regression", "classification", "regression")
    return Problem(
        regions=X,
        targets=targets.astype(np.float64),
        tasks=tasks,
        names=("fluid", "sex", "noise"),
        folds=make_folds(np.arange(n), n_outer=3, n_inner=2, seed=1),
        kind="elastic",
        configs={task: sample_configs("elastic", task, 4, seed=1, space={}) for task in set(tasks)},
    )


@pytest.fixture(scope="module")
def one_by_one(problem):
    return search(problem, KIND)


@pytest.fixture
def job(tmp_path):
    made = tmp_path / "workdirs/main/main-1"
    made.mkdir(parents=True)
    (made / "setup.json").write_text(json.dumps({"method": "tune", "hash": "h", "options": {}, "jobs": {}}))
    return SimpleNamespace(path=made)


def saved(problem, result, folder):
    folder.mkdir()
    names, _ = save_search(folder, result, problem.configs, {})
    return {name: (folder / name).read_bytes() for name in names}


@dataclass(frozen=True)
class Harmed:
    """A task whose `do` is another."""

    task: Any
    harm: Any

    def units(self):
        return self.task.units()

    def do(self, unit):
        self.harm(self.units()[unit].keys)
        return self.task.do(unit)


def run(task, root, job, slices=2, status=None):
    run_task(task, job, root, 0, slices, status)
    return collect_task(task, job, root)


@pytest.fixture
def task(problem):
    return SearchTask(CutProblem.of(problem, {}))


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_a_search_has_the_same_bytes(problem, one_by_one, task, tmp_path, job, slices):
    told = []

    @contextmanager
    def status(noun):
        yield told.append

    values = run(task, tmp_path, job, slices, status)
    result = collect(task.read(values), len(problem.names), problem.folds, problem.configs)
    assert saved(problem, result, tmp_path / "forks") == saved(problem, one_by_one, tmp_path / "one")
    n_units = len(task.units())
    assert list(values) == [key for unit in task.units() for key in unit.keys]
    assert set(values) == {f"{name}, outer fold {k}" for name in problem.names for k in range(3)}
    assert told[-1] == f"{n_units}/{n_units} units"
    report = json.loads((job.path / "pool.json").read_text())
    assert (report["n_workers"], report["backend"], report["n_units"]) == (slices, "slices", n_units)


def test_only_the_first_slice_works(task, tmp_path, job):
    run_task(task, job, tmp_path, 1, 2)
    assert list(job.path.iterdir()) == [job.path / "setup.json"]
    assert not checkpoint_path(tmp_path, job.path).exists()


def test_what_takes_longer_has_the_higher_cost(problem, task):
    costs = {unit.keys: unit.cost for unit in task.units()}
    # Four configurations and two inner folds; how much longer a classifier takes is a guess.
    assert costs["fluid, outer fold 1", "noise, outer fold 1"] == 2 * 4 * 2
    assert costs["sex, outer fold 1",] > 4 * 2
    assert {unit.cost for unit in replace(task.cut, names=("permutation 1",) * 3).units()} == {1.0, 2.0}


def test_an_evaluation_comes_back(problem, one_by_one, tmp_path, job):
    configs = {name: list(found) for name, found in problem.configs.items()}
    cut = CutProblem.of(problem, {})
    task = EvaluationTask(cut, StoredSearch(one_by_one.scores, configs, {}, {}), "best")
    done = task.read(run(task, tmp_path, job))
    for batch in cut.batches:
        expected = evaluate_batch(
            problem,
            batch,
            KIND,
            scores={t: one_by_one.scores[t, batch.outer] for t in batch.targets},
            configs={t: problem.configs[problem.tasks[t]] for t in batch.targets},
        )
        for cell, wanted in expected.items():
            found = done[cell]
            assert found.predictions.tobytes() == wanted.predictions.tobytes()
            assert found.labels.tobytes() == wanted.labels.tobytes()
            assert found.linear.coefficients.tobytes() == wanted.linear.coefficients.tobytes()
            assert (found.chosen, found.train_rows) == (wanted.chosen, wanted.train_rows)


def test_what_failed_is_told_and_what_is_done_is_not_done_again(problem, one_by_one, task, tmp_path, job, capfd):
    def some(keys):
        if keys == ("sex, outer fold 1",):
            raise SearchError("no")

    def others(keys):
        assert keys == ("sex, outer fold 1",)

    with pytest.raises(SearchError, match="1 unit failed; the others are kept:\n  sex, outer fold 1: SearchError: no"):
        run(Harmed(task, some), tmp_path, job)
    assert count_finished(tmp_path, job.path) == 8
    assert [unit["message"] for unit in json.loads((job.path / "pool.json").read_text())["failed"]] == ["no"]
    with pytest.raises(ProjectError, match=r"sex, outer fold 1: lost from .*; build again"):
        collect_task(task, job, tmp_path)
    save_settings(tmp_path, {"CORTAX_WORKERS": "3"})  # another build
    done = task.read(run(Harmed(task, others), tmp_path, job))
    result = collect(done, len(problem.names), problem.folds, problem.configs)
    assert saved(problem, result, tmp_path / "forks") == saved(problem, one_by_one, tmp_path / "one")
    n_units = len(task.units())
    assert f"{n_units - 1} of {n_units} units were done before" in capfd.readouterr().out
    assert json.loads((job.path / "pool.json").read_text())["n_workers"] == 3
    assert checkpoint_path(tmp_path, job.path).exists()


def test_settings_limit_memory_and_time(task, tmp_path, job):
    save_settings(tmp_path, {"CORTAX_MEMORY": "50MB", "CORTAX_CELL_SECONDS": "20"})

    def hungry(keys):
        np.ones(100_000_000, np.uint8)

    n_units = len(task.units())
    with pytest.raises(
        SearchError, match=rf"{n_units} units failed.*\n.*needs at least 1\d\d(\.\d)? MB, and had 50 MB"
    ):
        run(Harmed(task, hungry), tmp_path, job)


def test_a_value_under_another_key_or_with_other_bytes_is_refused(task):
    first, second = (task.units()[number].keys[0] for number in (0, 1))
    values = dict.fromkeys([key for unit in task.units() for key in unit.keys], b"")
    values |= zip(task.units()[0].keys, task.do(0), strict=True)
    assert open_sealed(first, seal(first, b"value")) == b"value"
    with pytest.raises(ProjectError, match=f"{second}: the bytes are not those that a worker returned"):
        task.cut.read(values | {second: values[first]}, lambda value: value)
    changed = values[first][:-1] + bytes([values[first][-1] ^ 1])
    with pytest.raises(ProjectError, match=f"{first}: the bytes are not those"):
        task.cut.read(values | {first: changed}, lambda value: value)


def test_units_have_no_key_in_common(task):
    keys = [key for unit in task.units() for key in unit.keys]
    assert all(isinstance(unit, Unit) for unit in task.units())
    assert len(set(keys)) == len(keys) == 9
