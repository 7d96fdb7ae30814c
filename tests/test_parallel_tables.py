"""What is made of measurements: medians, speed-up, efficiency, scaling, and what is said of them."""

import json

import numpy as np
import pandas as pd
import pytest

from cortax.errors import ProjectError
from cortax.workloads.bench.cases import FOREST, PARTS, Case, Scope, levels, make_plan, worker_counts
from cortax.workloads.bench.findings import LOADED, as_json, findings, load_warning, write_findings
from cortax.workloads.bench.machine import run_plan
from cortax.workloads.bench.measure import Setting
from cortax.workloads.bench.tables import by_setting, crossed, deviation, scaling, summarise

MACHINE = {"n_cores": 2, "memory": 1 << 30, "load": 0.0, "python": "3", "processor": "simulated"}


def row(setting, case, elapsed, number=0, over=False, value=1.0):
    about = {"backend": setting.backend, "processes": setting.processes, "blas_threads": setting.blas_threads}
    what = {"pipeline": case.pipeline, "size": case.size, "jobs": case.jobs, "n_units": case.n_units}
    took = {"elapsed": elapsed, "startup": elapsed / 10, "cpu": 2 * elapsed, "cold": 0.2, "warm": 0.1, "memory": 1e6}
    return {"round": number, **about, **what, **took, "over": over, "threads": {"a": 1}, "value": value}


def simulated(scope, seconds, rounds=3, noise=0.0, seed=0):
    """Measurements that take what `seconds(setting, load)` says, by up to so much more."""
    rng = np.random.default_rng(seed)

    def measure(setting, cases):
        return [row(setting, case, seconds(setting, case) * (1 + noise * rng.random())) for case in cases]

    runs, left_out = run_plan(make_plan(scope), measure, rounds=rounds, say=lambda text: None)
    assert not left_out
    return runs


def ideal(setting, case):
    """Two cores, all of whose use is perfect: threads and processes beyond them gain and cost nothing."""
    return case.n_units / min(2, setting.processes * setting.blas_threads * case.jobs)


def test_levels_and_worker_counts():
    assert levels(2) == [1, 2, 4, 8]
    assert levels(1) == [1, 2, 4]
    assert levels(32) == [1, 32, 64, 128]
    assert worker_counts(1) == [1]
    assert worker_counts(8) == list(range(1, 9))
    assert worker_counts(48) == [*range(1, 9), 16, 32, 48]


def test_the_plan_measures_what_is_asked_for_once_and_what_a_build_does_now_first():
    scope = Scope(2, Setting("loky", 3))
    plan = make_plan(scope)
    assert next(iter(plan)) == Setting("loky", 3)
    assert Setting("slices", 1) in plan
    crossing = {(s.processes, s.blas_threads) for s in plan if s.backend == "slices"}
    assert crossing >= {(p, t) for p in levels(2) for t in levels(2)}
    jobs = {(s.processes, case.jobs) for s, cases in plan.items() for case in cases if s.blas_threads == 1}
    assert jobs >= {(p, j) for p in levels(2) for j in levels(2)}
    for cases in plan.values():
        assert len(set(cases)) == len(cases)
    assert {case.n_units for cases in plan.values() for case in cases} == {scope.n_units, scope.n_units // 2}


def test_a_plan_is_narrowed():
    scope = Scope(4, Setting("slices", 2), parts=["blas"], pipelines=["svm"], sizes=["large"])
    cases = [case for found in make_plan(scope).values() for case in found]
    assert {(case.pipeline, case.size) for case in cases} == {("svm", "large")}
    assert scope.n_units == 32


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Scope(2, Setting("slices", 2), parts=["blsa"]), "part: got 'blsa', .*did you mean 'blas'"),
        (lambda: Scope(2, Setting("slices", 2), pipelines=["rigde"]), "pipeline: got 'rigde', .*mean 'ridge'"),
        (lambda: Case("ridge", "huge"), "size: got 'huge'"),
        (lambda: Case("ridge", "small", jobs=2), "'ridge' has no jobs of its own; got jobs=2"),
        (lambda: Setting("slcies", 1), "backend: got 'slcies', .*did you mean 'slices'"),
        (lambda: Setting("slices", 0), "must be 1 or more"),
    ],
)
def test_what_does_not_exist(make, said):
    with pytest.raises(ProjectError, match=said):
        make()


def test_a_perfect_machine_has_a_speedup_of_its_cores_and_an_efficiency_of_one():
    scope = Scope(2, Setting("slices", 2))
    table = summarise(simulated(scope, ideal), 2)
    fixed = table[table["n_units"] == scope.n_units]
    wanted = np.minimum(2, fixed["processes"] * fixed["blas_threads"] * fixed["jobs"])
    np.testing.assert_allclose(fixed["speedup"], wanted)
    np.testing.assert_allclose(fixed["efficiency"], 1.0)
    np.testing.assert_allclose(table["spread"], 0.0, atol=1e-12)
    sums = by_setting(fixed)
    assert sums[["backend", "processes", "blas_threads", "jobs"]].duplicated().sum() == 0
    np.testing.assert_allclose(sums["efficiency"], 1.0)


def test_medians_and_their_spread():
    case = Case("ridge", "small")
    runs = pd.DataFrame([row(Setting("slices", 1), case, elapsed, i) for i, elapsed in enumerate([1.0, 5.0, 2.0])])
    table = summarise(runs, 2)
    assert table[["elapsed", "spread", "cpu", "startup"]].iloc[0].tolist() == [2.0, 1.0, 4.0, 0.2]
    assert np.isnan(summarise(runs[:1], 2)["spread"].iloc[0])


def test_crossings_have_a_cell_for_each_pair_and_mark_what_was_ended():
    scope = Scope(2, Setting("slices", 2), parts=["blas", "jobs"], sizes=["small"])
    runs = simulated(scope, ideal, rounds=1)
    stuck = (runs["processes"] == 8) & (runs["blas_threads"] == 8) & (runs["pipeline"] == "svm")
    runs.loc[stuck, "over"] = True
    table = summarise(runs, 2)
    blas = crossed(table, "blas_threads", ["ridge", "elastic", "svm"])
    assert blas.shape == (4, 4)
    assert blas.loc[1, 1] == "1.00"
    assert blas.loc[8, 8] == "< 2.00"
    assert (blas.drop(index=8) != "< 2.00").all().all()
    jobs = crossed(table, "jobs", [FOREST])
    assert jobs.shape == (4, 4)
    assert jobs.loc[1].tolist() == ["1.00", "2.00", "2.00", "2.00"]


def test_strong_scaling_keeps_the_work_and_weak_scaling_lets_it_grow():
    scope = Scope(4, Setting("slices", 4), parts=["scaling"], backends=["slices"], pipelines=["ridge"], sizes=["small"])

    def seconds(setting, case):
        return 1.0 + case.n_units / setting.processes

    table = scaling(summarise(simulated(scope, seconds), 4), scope.n_units, 4)
    strong, weak = (table[table["kind"] == kind].set_index("processes") for kind in ("strong", "weak"))
    assert list(strong.index) == list(weak.index) == [1, 2, 3, 4]
    assert set(strong["n_units"]) == {scope.n_units}
    assert (weak["n_units"] == weak.index * scope.n_units // 4).all()
    np.testing.assert_allclose(strong["speedup"], [(1 + 32) / (1 + 32 / p) for p in (1, 2, 3, 4)])
    np.testing.assert_allclose(strong["efficiency"], strong["speedup"] / strong.index)
    # However many there are, each has the same work, and all end together.
    np.testing.assert_allclose(weak["elapsed"], 9.0)
    np.testing.assert_allclose(weak["efficiency"], 1.0)
    np.testing.assert_allclose(weak["speedup"], weak.index)


def test_findings_say_what_threads_cost_and_what_is_wrong_with_them(tmp_path):
    scope = Scope(2, Setting("slices", 2))

    def spinning(setting, case):
        return ideal(setting, case) * (10 if setting.blas_threads > 1 else 1)

    runs = simulated(scope, spinning)
    runs.loc[(runs["processes"] == 8) & (runs["pipeline"] == "svm"), "value"] = 1.1
    found = findings(runs, scope, {**MACHINE, "load": 1.5}, left_out=[Setting("loky", 2)], missing=["no ray"])
    assert (
        found["remarks"][0] == "2 processes x 1 BLAS thread: 10.00 times as fast as 1 x 2, 10.00 times as fast as 2 x 2"
    )
    assert found["remarks"][1].startswith("2 processes x 1 job of the forest itself: 1.00 times as fast as 1 x 2")
    assert str(found["advice"]).startswith('keep backend = "slices", workers = 2: the machine is loaded (')
    said = "\n".join(found["warnings"])
    for part in (
        "loaded: 1.5 of 2 cores",
        "different scores, by 9.1e-02",
        "no time was left for loky, 2 x 1",
        "no ray",
    ):
        assert part in said
    files = {path.name for path in write_findings(found, tmp_path / "new")}
    assert files >= {"cases.csv", "cases.parquet", "runs.parquet", "scaling.csv", "scaling.svg", "findings.json"}
    told = json.loads((tmp_path / "new/findings.json").read_text())
    assert told == json.loads(as_json(found))
    assert len(told["runs"]) == len(runs) == len(pd.read_parquet(tmp_path / "new/runs.parquet"))
    assert "Weak scaling" in (tmp_path / "new/scaling.svg").read_text()


def test_the_same_figures_are_the_same_picture(tmp_path):
    found = findings(simulated(Scope(2, Setting("slices", 2)), ideal), Scope(2, Setting("slices", 2)), MACHINE)
    for name in ("a", "b"):
        write_findings(found, tmp_path / name)
    assert (tmp_path / "a/scaling.svg").read_bytes() == (tmp_path / "b/scaling.svg").read_bytes()
    assert found["warnings"] == []


def test_nothing_to_draw(tmp_path):
    scope = Scope(1, Setting("slices", 1), parts=["scaling"], backends=["slices"])
    found = findings(simulated(scope, ideal), scope, {**MACHINE, "n_cores": 1})
    assert found["scaling"].empty
    assert not (tmp_path / "x/scaling.svg").exists()
    assert "findings.json" in {path.name for path in write_findings(found, tmp_path / "x")}


@pytest.mark.parametrize(("average", "warns"), [(0.0, False), (LOADED * 2, False), (LOADED * 2 + 0.1, True)])
def test_a_loaded_machine(average, warns):
    assert bool(load_warning(2, average)) == warns


def test_how_much_scores_differ():
    case, setting = Case("ridge", "small"), Setting("slices", 1)
    runs = pd.DataFrame([row(setting, case, 1.0, value=value) for value in (-2.0, -2.0002, np.nan)])
    assert deviation(runs) == pytest.approx(1e-4, rel=0.01)


def test_what_was_ended_is_not_measured_again_and_what_time_is_over_for_is_told():
    plan = {Setting("slices", n): [Case("ridge", "small", 4), Case("ridge", "small", 2)] for n in (1, 2)}
    asked, said = [], []

    def measure(setting, cases):
        asked.append((setting.processes, [case.n_units for case in cases]))
        return [row(setting, case, 1.0, over=case.n_units == 4) for case in cases]

    runs, left_out = run_plan(plan, measure, rounds=2, say=said.append)
    assert asked == [(1, [4, 2]), (2, [4, 2]), (1, [2]), (2, [2])]
    assert runs["round"].tolist() == [0, 0, 0, 0, 1, 1]
    assert len(said) == 4
    assert not left_out
    runs, left_out = run_plan(plan, measure, rounds=2, seconds=-1.0, say=said.append)
    assert left_out == list(plan)
    assert runs.empty


def test_a_brief_session_repeats_what_builds_could_use():
    cases = [Case("ridge", "small", 4)]
    plan = {Setting("slices", 2): cases, Setting("slices", 2, 2): cases, Setting("threads", 2): cases}
    runs, _ = run_plan(
        plan, lambda setting, cases: [row(setting, *cases, 1.0)], rounds=2, brief=True, say=lambda text: None
    )
    told = runs[["round", "backend", "blas_threads"]].to_numpy().tolist()
    assert told == [[0, "slices", 1], [0, "slices", 2], [0, "threads", 1], [1, "slices", 1]]


def test_every_part_has_its_own_settings():
    for part in PARTS:
        assert len(make_plan(Scope(4, Setting("slices", 4), parts=[part]))) > 2, part
