"""What every back-end does the same: results to the byte, failures, lost workers; and that it leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import doing, kill, run
from made_windows import SIZE, make_models, make_windows

from cortax.learning.folds import make_folds
from cortax.learning.search.cells import Problem
from cortax.learning.search.solvers import search_batch
from cortax.learning.search.spaces import sample_configs
from cortax.workflow.work.backend_workers import hire_from_backend
from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.payload import write_payload
from cortax.workflow.work.pool import run_units
from cortax.workloads.regions.tasks.problem import CutProblem
from cortax.workloads.regions.tasks.search import SearchTask
from cortax.workloads.sequences.tasks import TrainTask
from cortax.workloads.sequences.training import TrainingOptions


def _problem() -> Problem:
    rng = np.random.default_rng(3)
    regions = rng.normal(size=(80, 12)).astype(np.float32)
    regions[5, 3] = np.nan
    first, second = regions[:, 0] + rng.normal(size=80), (regions[:, 1] + rng.normal(size=80) > 0).astype(float)
    tasks = ("regression", "classification", "regression")
    return Problem(
        regions=regions,
        targets=np.column_stack([first, second, rng.normal(size=80)]).astype(np.float64),
        tasks=tasks,
        names=("first", "second", "noise"),
        folds=make_folds(np.arange(80), n_outer=3, n_inner=2, seed=1),
        kind="elastic",
        configs={task: sample_configs("elastic", task, 4, seed=0, space={}) for task in set(tasks)},
        confounds=rng.normal(size=(80, 2)),
        seed=5,
    )


def test_the_same_bytes_as_in_this_process(backend: str, place: Path) -> None:
    task = SearchTask(CutProblem.of(_problem(), {}))
    cut, units, wanted = task.cut, task.units(), {}
    for batch in cut.batches:
        wanted |= search_batch(cut.problem, batch, cut.pipeline)
    ref = write_payload(place / "payload", task)
    with (
        Checkpoint(place / "units.sqlite") as checkpoint,
        hire_from_backend(backend, ref, place / "scratch", [unit.cost for unit in units]) as hire,
    ):
        report = run_units(units, checkpoint, hire, n_workers=2, memory=1 << 30)
        kept = checkpoint.values()
    assert not report.failed
    assert report.threads
    assert set(report.threads.values()) == {1}
    assert len(kept) == len(wanted) == 9
    for key, found in task.read(kept).items():
        cell = wanted[key]
        assert found.scores.tobytes() == cell.scores.tobytes()
        assert found.not_converged.tobytes() == cell.not_converged.tobytes()
        assert found.failures == cell.failures


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_networks_in_lanes_have_the_same_bits_as_in_this_process(name: str, place: Path) -> None:
    windows, models = make_windows(dtype=np.float32), make_models([0.0] * 6 + [0.5] * 6, [*range(6)] * 2, np.float32)
    keys, options = tuple(map(str, range(12))), TrainingOptions(epochs=3, rate=0.01, batch=3, clip=1.0)
    network = {"kind": "lstm", "hidden": SIZE.n_hidden}
    task = TrainTask(windows, windows, models, keys, tuple(range(12)), network, options)
    ref = write_payload(place / "payload", task)
    with (
        Checkpoint(place / "units.sqlite") as checkpoint,
        hire_from_backend(name, ref, place / "scratch", [unit.cost for unit in task.units()]) as hire,
    ):
        report = run_units(task.units(), checkpoint, hire, n_workers=2, memory=1 << 30)
        kept = checkpoint.values()
    assert not report.failed
    assert [kept[key] for key in keys] == [value for unit in range(2) for value in task.do(unit)]


def test_failures_are_told_and_kept_from_others(backend: str, place: Path) -> None:
    plan = [
        ("sum", 0.0),
        ("raises", "bad luck"),
        ("exits", 3),
        ("segfault", 0),
        ("hangs", 600),
        ("eats", 60 << 20),
        ("eats", 150 << 20),
        ("eats", 900 << 20),
        ("sum", 0.0),
        ("threads", 0),
    ]
    report, kept = run(backend, place, plan, n_workers=4, memory=400 << 20, seconds=6)
    assert dict(sorted(kept.items())) == {
        "0/0": np.float64(49_995_000).tobytes(),
        "0/1": b"",
        "5/0": b"%d" % (60 << 20),
        "6/0": b"%d" % (150 << 20),
        "8/0": np.float64(49_995_008).tobytes(),
        "8/1": b"x" * 8,
        "9/0": b"[1]",
    }
    told = {failure.keys[0].partition("/")[0]: failure for failure in report.failed}
    assert {unit: failure.kind for unit, failure in told.items()} == {
        "1": "ValueError",
        "2": "exit",
        "3": "SIGSEGV",
        "4": "timeout",
        "7": "MemoryError",
    }
    # An exception would come again; whoever crashed has had all the memory, and so has who wanted too much.
    assert {unit: (failure.attempt, failure.workers) for unit, failure in told.items()} == {
        "1": (1, 4),
        "2": (3, 1),
        "3": (3, 1),
        "4": (2, 1),
        "7": (3, 1),
    }
    assert told["1"].message == "bad luck"
    assert "_raises" in told["1"].traceback
    assert "status 3" in told["2"].message
    assert "Segmentation fault" in told["3"].message
    assert told["7"].needs >= 900 << 20
    assert sum(report.done.values()) == 5
    assert report.done[4] == 4


def test_a_killed_worker_costs_nothing_but_its_call(backend: str, place: Path) -> None:
    plan = [("once", str(place / "note")), *[("sum", 0.05)] * 12]
    with doing(place / "note", lambda worker, _: kill(worker)):
        report, kept = run(backend, place, plan, n_workers=2)
    assert not report.failed
    assert kept["0/0"] == b"second time"
    assert len(kept) == 25
    assert sum(report.done.values()) == 13


def test_a_unit_that_ends_its_worker_again_and_again_has_failed(place: Path) -> None:
    report, kept = run("loky", place, [("patricide", 0), ("sum", 0.0)], n_workers=2)
    assert [(failure.kind, failure.workers) for failure in report.failed] == [("WorkerLostError", 1)]
    assert "3 workers were lost with it" in report.failed[0].message
    assert kept["1/0"] == np.float64(49_995_001).tobytes()
