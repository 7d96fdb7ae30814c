"""The cells of a job, worked on by forks: the same bytes as one after the other, whoever did them, and gone on with."""

import json

import numpy as np
import pytest

from cortax.errors import ProjectError, SearchError
from cortax.folds import make_folds
from cortax.grid.engines.capsule_search import write_search_capsule
from cortax.grid.work.cells import collect_cells, run_cells
from cortax.grid.work.running import checkpoint_path, finished_cells
from cortax.grid.work.settings import save_settings
from cortax.search.cells import Problem, collect
from cortax.search.pipelines import pipeline_kind
from cortax.search.refit import evaluate_batch
from cortax.search.solvers import plan_batches, search, search_batch
from cortax.search.spaces import sample_configs
from cortax.search.store import save_search
from cortax.search.store_cells import read_evaluation, read_search, write_evaluation, write_search

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
def folder(tmp_path):
    made = tmp_path / "workdirs/main/main-1"
    made.mkdir(parents=True)
    (made / "setup.json").write_text(json.dumps({"method": "tune", "hash": "h", "options": {}, "jobs": {}}))
    return made


def saved(problem, result, folder):
    folder.mkdir()
    names, _ = save_search(folder, result, problem.configs, {})
    return {name: (folder / name).read_bytes() for name in names}


def run(problem, root, folder, work=None, **more):
    batches = plan_batches(problem)
    run_cells(
        root,
        folder,
        problem,
        batches,
        work or (lambda batch: search_batch(problem, batch, KIND)),
        write_search,
        lambda place: write_search_capsule(place, problem, batches, {}),
        **{"n_slices": 2, **more},
    )
    return collect_cells(root, folder, problem, batches, read_search)


@pytest.mark.parametrize("n_slices", [1, 2, 5])
def test_a_search_has_the_same_bytes(problem, one_by_one, tmp_path, folder, n_slices):
    told = []
    costs = np.random.default_rng(n_slices).uniform(size=len(plan_batches(problem))).tolist()
    done = run(problem, tmp_path, folder, n_slices=n_slices, costs=costs, progress=lambda *args: told.append(args))
    result = collect(done, len(problem.names), problem.folds, problem.configs)
    assert saved(problem, result, tmp_path / "forks") == saved(problem, one_by_one, tmp_path / "one")
    assert told[-1] == (len(costs), len(costs))
    report = json.loads((folder / "pool.json").read_text())
    assert (report["n_workers"], report["backend"], report["n_units"]) == (n_slices, "slices", len(costs))


def _no_capsule(place):
    raise AssertionError(f"forks need no capsule, not {place}")


def test_an_evaluation_comes_back(problem, one_by_one, tmp_path, folder):
    batches = plan_batches(problem)

    def work(batch):
        return evaluate_batch(
            problem,
            batch,
            KIND,
            scores={t: one_by_one.scores[t, batch.outer] for t in batch.targets},
            configs={t: problem.configs[problem.tasks[t]] for t in batch.targets},
        )

    run_cells(tmp_path, folder, problem, batches, work, write_evaluation, _no_capsule, n_slices=2)
    done = collect_cells(tmp_path, folder, problem, batches, read_evaluation)
    for batch in batches:
        for cell, expected in work(batch).items():
            found = done[cell]
            assert found.predictions.tobytes() == expected.predictions.tobytes()
            assert found.labels.tobytes() == expected.labels.tobytes()
            assert found.linear.coefficients.tobytes() == expected.linear.coefficients.tobytes()
            assert (found.chosen, found.train_rows) == (expected.chosen, expected.train_rows)


def test_what_failed_is_told_and_what_is_done_is_not_done_again(problem, one_by_one, tmp_path, folder, capfd):
    def some(batch):
        if batch.outer == 1 and 1 in batch.targets:
            raise SearchError("no")
        return search_batch(problem, batch, KIND)

    def others(batch):
        assert (batch.outer, 1 in batch.targets) == (1, True)
        return search_batch(problem, batch, KIND)

    with pytest.raises(
        SearchError, match="1 cell failed; the others are kept:\n  sex in outer fold 1: SearchError: no"
    ):
        run(problem, tmp_path, folder, some)
    assert finished_cells(tmp_path, folder) == 8
    assert [unit["message"] for unit in json.loads((folder / "pool.json").read_text())["failed"]] == ["no"]
    with pytest.raises(ProjectError, match=r"target 'sex', outer fold 1: lost from .*; build again"):
        collect_cells(tmp_path, folder, problem, plan_batches(problem), read_search)
    save_settings(tmp_path, {"CORTAX_WORKERS": "3"})  # another build
    done = run(problem, tmp_path, folder, others)
    result = collect(done, len(problem.names), problem.folds, problem.configs)
    assert saved(problem, result, tmp_path / "forks") == saved(problem, one_by_one, tmp_path / "one")
    n_batches = len(plan_batches(problem))
    assert f"{n_batches - 1} of {n_batches} batches were done before" in capfd.readouterr().out
    assert json.loads((folder / "pool.json").read_text())["n_workers"] == 3
    assert checkpoint_path(tmp_path, folder).exists()


def test_settings_limit_memory_and_time(problem, tmp_path, folder):
    save_settings(tmp_path, {"CORTAX_MEMORY": "50MB", "CORTAX_CELL_SECONDS": "20"})

    def hungry(batch):
        np.ones(100_000_000, np.uint8)
        return search_batch(problem, batch, KIND)

    with pytest.raises(SearchError, match=r"9 cells failed.*\n.*needs at least 1\d\d(\.\d)? MB, and had 50 MB"):
        run(problem, tmp_path, folder, hungry)
