"""Expected costs: they order work, follow what was measured, and are no part of any key."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from cortax.folds import make_folds
from cortax.grid.planning import costs
from cortax.grid.planning.costs import (
    OVERHEAD,
    Costs,
    batch_seconds,
    cpu_seconds,
    duration,
    memory_bytes,
    unit_bytes,
    wall_seconds,
)
from cortax.grid.planning.jobspec import JobSpec, Work
from cortax.search.cells import Problem
from cortax.search.solvers import SOLVERS, plan_batches
from cortax.search.spaces import sample_configs

WORK = Work("ridge", 2000, 400, {"regression": 20, "classification": 10}, 60, 5, 3)


def spec(name, work=WORK, pipeline="ridge", method="tune"):
    about = {"pipeline": pipeline, "parcellation": name, "targets": [], "fold": None}
    return JobSpec(f"{method}/{name}/{pipeline}", method, {}, about=about, work=work)


def test_the_table_knows_every_solver_and_how_many_targets_it_takes():
    for (kind, task), module in SOLVERS.items():
        assert costs._TOGETHER.get((kind, task), 1) == importlib.import_module(module).TOGETHER, (kind, task)
        assert any(found == kind for found, _ in costs.FIT), kind
        assert kind in costs.MEMORY


@pytest.mark.parametrize("kind", ["ridge", "elastic", "svm", "lgbm", "sklearn"])
@pytest.mark.parametrize("method", ["tune", "evaluate"])
def test_more_work_costs_more(kind, method):
    work = replace(WORK, kind=kind)
    least = cpu_seconds(method, work)
    assert least > 0
    assert cpu_seconds(method, replace(work, n_subjects=9000)) > least
    assert cpu_seconds(method, replace(work, n_regions=4000)) >= least
    assert cpu_seconds(method, replace(work, n_outer=10)) == pytest.approx(2 * least)
    more_targets = replace(work, n_targets={"regression": 40, "classification": 20})
    assert cpu_seconds(method, more_targets) == pytest.approx(2 * least)
    assert memory_bytes(replace(work, n_subjects=9000), 4) > memory_bytes(work, 4) > memory_bytes(work, 1)


def test_workers_share_units_and_not_less():
    total = cpu_seconds("tune", WORK)
    assert wall_seconds("tune", WORK, 1) == pytest.approx(total)
    assert wall_seconds("tune", WORK, 2) == pytest.approx(total / 2)
    # Ridge takes all targets of a task and fold at once: five units of each task.
    longest = max(cpu_seconds("tune", replace(WORK, n_targets={t: n})) / 5 for t, n in WORK.n_targets.items())
    assert wall_seconds("tune", WORK, 1000) == pytest.approx(longest)
    assert WORK.n_cells == 150


def test_what_was_measured_corrects_its_pipeline_alone():
    large, other = replace(WORK, n_subjects=90_000), spec("b", replace(WORK, kind="lgbm"), "lgbm")
    wall = wall_seconds("tune", large, 2)
    measured = [(spec(str(i), large), {}, OVERHEAD + times * wall, 0) for i, times in enumerate([3, 3, 90])]
    plain, corrected = Costs(2), Costs(2, measured)
    assert corrected.seconds(spec("a")) - OVERHEAD == pytest.approx(3 * (plain.seconds(spec("a")) - OVERHEAD))
    assert corrected.seconds(other) == plain.seconds(other)
    half = [(spec("a", large), {"n_configs": 30, "targets": {"x": {"kind": "regression"}}}, 1000.0, 0)]
    did = replace(large, n_configs=30, n_targets={"regression": 1})
    assert Costs(2, half).ratios["tune", "ridge"] == pytest.approx((1000 - OVERHEAD) / wall_seconds("tune", did, 2))


def test_short_jobs_tell_of_nothing_but_exax():
    assert Costs(2, [(spec("a"), {}, OVERHEAD, 0)]).ratios == {}
    plain = JobSpec("load", "load", {})
    assert Costs(2, [(plain, {}, 4.0, 0), (plain, {}, 6.0, 0)]).seconds(plain) == 5.0


def test_memory_that_was_measured_corrects_its_pipeline_alone():
    large, small = replace(WORK, n_subjects=90_000), replace(WORK, n_subjects=50, n_regions=5)
    measured = [(spec(str(i), large), {}, 1.0, int(times * unit_bytes(large))) for i, times in enumerate([2, 2, 9])]
    # Whatever a worker does, it has some: what a small unit held says nothing of large ones.
    measured.append((spec("s", small, "svm"), {}, 1.0, 30_000_000))
    plain, corrected = Costs(4), Costs(4, measured)
    assert list(corrected.memory_ratios) == [("tune", "ridge")]
    assert corrected.memory_ratios["tune", "ridge"] == pytest.approx(2)
    assert corrected.memory(spec("a")) - plain.memory(spec("a")) == pytest.approx(4 * unit_bytes(WORK))
    other = spec("b", replace(WORK, kind="svm"), "svm")
    assert corrected.memory(other) == plain.memory(other)
    assert corrected.memory(JobSpec("load", "load", {})) == 0


def test_no_more_workers_hold_memory_than_there_are_units():
    one_each = replace(WORK, n_targets={"regression": 3}, n_outer=1)
    assert memory_bytes(one_each, 64) == memory_bytes(one_each, 1), "ridge takes all targets of a fold at once"
    assert memory_bytes(WORK, 64) == memory_bytes(WORK, 10) > memory_bytes(WORK, 9)


def test_jobs_are_ordered_longest_first_within_their_method():
    small, large = replace(WORK, n_regions=10), replace(WORK, n_regions=9000)
    first = [JobSpec("load", "load", {}), JobSpec("split", "split", {}, {"subjects": ["load"]})]
    specs = [*first, spec("s", small), spec("l", large), spec("s", small, method="evaluate")]
    specs += [spec("l", large, method="evaluate"), JobSpec("scores", "scores", {})]
    ordered = Costs(2).longest_first(specs)
    assert [one.name for one in ordered] == [
        *["load", "split", "tune/l/ridge", "tune/s/ridge", "evaluate/l/ridge", "evaluate/s/ridge", "scores"]
    ]


def test_batches_cost_what_the_job_does():
    n, tasks = 40, ("regression", "classification") * 2
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n, 4))
    values[:, 1::2] = values[:, 1::2] > 0
    configs = {task: sample_configs("elastic", task, 2, seed=0, space={}) for task in set(tasks)}
    folds = make_folds(np.arange(n), n_outer=2, n_inner=2, seed=0)
    problem = Problem(rng.normal(size=(n, 3)), values, tasks, ("a", "b", "c", "d"), folds, "elastic", configs)
    batches = plan_batches(problem)
    work = Work("elastic", n, 3, {"regression": 2, "classification": 2}, 2, 2, 2)
    assert sum(batch_seconds(problem, batches)) == pytest.approx(cpu_seconds("tune", work))
    assert max(batch_seconds(problem, batches)) == pytest.approx(wall_seconds("tune", work, 1000))


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h"), (200_000, "2.3 d")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said
