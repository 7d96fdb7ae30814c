"""Expected costs: they order work, follow what was measured, and are no part of any key."""

import importlib
from dataclasses import replace

import pytest

from cortax.learning.search.solvers import SOLVERS
from cortax.workflow.plan.costs import OVERHEAD, Costs, duration, memory_bytes
from cortax.workflow.plan.jobspec import JobSpec, Work
from cortax.workflow.plan.order import build_order
from cortax.workloads.regions import costs
from cortax.workloads.regions.costs import ModelWork, expected_work

MODELS = ModelWork("ridge", "ridge", 2000, 400, {"regression": 20, "classification": 10}, 60, 5, 3)


def work_of(method="tune", **more):
    return expected_work(method, replace(MODELS, **more))


def spec(name, method="tune", **more):
    work = work_of(method, **more)
    return JobSpec(f"{method}/{name}/{work.group}", method, {}, work=work)


def test_the_table_knows_every_solver_and_how_many_targets_it_takes():
    for (kind, task), module in SOLVERS.items():
        assert costs._TOGETHER.get((kind, task), 1) == importlib.import_module(module).TOGETHER, (kind, task)
        assert any(found == kind for found, _ in costs.FIT), kind
        assert kind in costs.MEMORY


@pytest.mark.parametrize("kind", ["ridge", "elastic", "svm", "lgbm", "sklearn"])
@pytest.mark.parametrize("method", ["tune", "evaluate"])
def test_more_work_costs_more(kind, method):
    work = work_of(method, kind=kind)
    least = work.cpu_seconds
    assert least > 0
    assert work_of(method, kind=kind, n_subjects=9000).cpu_seconds > least
    assert work_of(method, kind=kind, n_regions=4000).cpu_seconds >= least
    assert work_of(method, kind=kind, n_outer=10).cpu_seconds == pytest.approx(2 * least)
    more_targets = {"regression": 40, "classification": 20}
    assert work_of(method, kind=kind, n_targets=more_targets).cpu_seconds == pytest.approx(2 * least)
    more_subjects = work_of(method, kind=kind, n_subjects=9000)
    assert memory_bytes(more_subjects, 4) > memory_bytes(work, 4) > memory_bytes(work, 1)


def test_workers_share_units_and_not_less():
    work = work_of()
    assert work.wall_seconds(1) == pytest.approx(work.cpu_seconds)
    assert work.wall_seconds(2) == pytest.approx(work.cpu_seconds / 2)
    # Ridge takes all targets of a task and fold at once: five units of each task.
    longest = max(work_of(n_targets={task: n}).cpu_seconds / 5 for task, n in MODELS.n_targets.items())
    assert work.wall_seconds(1000) == pytest.approx(longest)
    assert work.n_units == 150


@pytest.mark.parametrize("kind", ["ridge", "elastic", "svm", "lgbm"])
def test_an_inner_refit_is_one_for_each_inner_fold_and_permutations_search_and_refit(kind):
    search, refit = (work_of(method, kind=kind).cpu_seconds for method in ("tune", "evaluate"))
    assert work_of("inner", kind=kind).cpu_seconds == pytest.approx(MODELS.n_inner * refit)
    assert work_of("permute", kind=kind).cpu_seconds == pytest.approx(search + refit)


def test_what_was_measured_corrects_its_pipeline_alone():
    large, other = spec("a", n_subjects=90_000), spec("b", kind="lgbm", pipeline="lgbm")
    wall = large.work.wall_seconds(2)
    measured = [(large, large.work, OVERHEAD + times * wall, 0) for times in (3, 3, 90)]
    plain, corrected = Costs(2), Costs(2, measured)
    assert corrected.seconds(spec("a")) - OVERHEAD == pytest.approx(3 * (plain.seconds(spec("a")) - OVERHEAD))
    assert corrected.seconds(other) == plain.seconds(other)
    did = work_of(n_subjects=90_000, n_configs=30, n_targets={"regression": 1})
    ratios = Costs(2, [(large, did, 1000.0, 0)]).ratios
    assert ratios == {("tune", "ridge"): pytest.approx((1000 - OVERHEAD) / did.wall_seconds(2))}, "by what it did"
    assert Costs(2, [(large, None, 1000.0, 0)]).ratios == {}, "what it did is not known"


def test_short_jobs_tell_of_nothing_but_exax():
    assert Costs(2, [(spec("a"), work_of(), OVERHEAD, 0)]).ratios == {}
    plain = JobSpec("load", "load", {})
    assert Costs(2, [(plain, None, 4.0, 0), (plain, None, 6.0, 0)]).seconds(plain) == 5.0


def test_memory_that_was_measured_corrects_its_pipeline_alone():
    large, small = spec("a", n_subjects=90_000), spec("s", pipeline="svm", n_subjects=50, n_regions=5)
    measured = [(large, large.work, 1.0, int(times * large.work.unit_bytes)) for times in (2, 2, 9)]
    # Whatever a worker does, it has some: what a small unit held says nothing of large ones.
    measured.append((small, small.work, 1.0, 30_000_000))
    plain, corrected = Costs(4), Costs(4, measured)
    assert list(corrected.memory_ratios) == [("tune", "ridge")]
    assert corrected.memory_ratios["tune", "ridge"] == pytest.approx(2)
    assert corrected.memory(spec("a")) - plain.memory(spec("a")) == pytest.approx(4 * work_of().unit_bytes)
    other = spec("b", kind="svm", pipeline="svm")
    assert corrected.memory(other) == plain.memory(other)
    assert corrected.memory(JobSpec("load", "load", {})) == 0


def test_no_more_workers_hold_memory_than_there_are_units():
    work, one_each = work_of(), work_of(n_targets={"regression": 3}, n_outer=1)
    assert memory_bytes(one_each, 64) == memory_bytes(one_each, 1), "ridge takes all targets of a fold at once"
    assert memory_bytes(work, 64) == memory_bytes(work, 10) > memory_bytes(work, 9)


def test_of_no_work_nothing_is_waited_for():
    nothing = Work("ridge", 0, ())
    assert (nothing.cpu_seconds, nothing.n_batches, nothing.wall_seconds(3)) == (0, 0, 0)


def test_jobs_are_ordered_longest_first_within_their_method():
    first = [JobSpec("load", "load", {}), JobSpec("split", "split", {}, {"subjects": ["load"]})]
    specs = [*first, spec("s", n_regions=10), spec("l", n_regions=9000), spec("s", "evaluate", n_regions=10)]
    specs += [spec("l", "evaluate", n_regions=9000), JobSpec("scores", "scores", {})]
    ordered = build_order(specs, Costs(2).seconds)
    assert [one.name for one in ordered] == [
        *["load", "split", "tune/l/ridge", "tune/s/ridge", "evaluate/l/ridge", "evaluate/s/ridge", "scores"]
    ]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h"), (200_000, "2.3 d")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said
