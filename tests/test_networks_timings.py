"""How long networks take: what is timed, by whom, and what the table makes of it."""

import os

import numpy as np
import pytest

from cortax.errors import ProjectError, StudyError
from cortax.provenance.files import file_digest
from cortax.workflow.workload import Planning
from cortax.workloads.bench.networks import time_network, timing_table
from cortax.workloads.bench.study import BenchStudy, asked_timings, timing_jobs
from cortax.workloads.network.forests import ForestOptions, Regulators, gene_importances
from cortax.workloads.network.reference import reference_importances
from cortax.workloads.network.store import GeneValues, save_genes

OPTIONS = ForestOptions("forest", n_trees=5)


def study(**timings):
    content = {
        "kind": "bench",
        "name": "s",
        "title": "",
        "expression": {"file": "expression.csv"},
        "timings": {"n_genes": [3], "repeats": 2, "genes_per_worker": 1} | timings,
        "prices": {"some": 3.6},
    }
    return BenchStudy.model_validate(content)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "expression.csv").write_text("b,a,c\n1,2,3\n4,5,7\n1,0,2\n3,3,1\n")
    return tmp_path


def test_settings_are_timed_once_each_whatever_asks_for_them(root):
    asked = asked_timings(study(crossed=["1x1", "4x1", "1xall", "1x32"], memory_genes=[3]), 4)
    told = [(one["solver"], one["n_targets"], one["setting"]) for one in asked]
    assert len(set(told)) == len(told)
    peer = {setting for solver, n, setting in told if solver == "scikit-learn" and n == 3}
    own = {setting for solver, n, setting in told if solver == "cortax" and n == 3}
    assert peer == {"1x1", "4x1", "1x4", "1x32", "2x1"}
    assert own == {"1x1", "4x1", "2x1"}, "its own trees have no jobs"
    # Work that grows with workers: as far as there are genes.
    assert {(n, setting) for _, n, setting in told if n < 3} == {(1, "1x1"), (2, "2x1")}


def test_each_repeat_is_a_job_of_this_machine(root):
    specs = timing_jobs(study(crossed=["1x1"], workers=[1]), Planning(root, file_digest))
    assert [spec.name for spec in specs] == [
        "expression",
        *(f"time/{solver}/3-of-3/1x1/{n}" for solver in ("scikit-learn", "cortax") for n in (1, 2)),
        *(f"time/{solver}/1-of-3/1x1/{n}" for solver in ("scikit-learn", "cortax") for n in (1, 2)),
        "timings",
    ]
    assert os.uname().nodename in specs[1].options["machine"]
    again = timing_jobs(study(crossed=["1x1"], workers=[1], round=2), Planning(root, file_digest))
    assert all(
        one.options != two.options for one, two in zip(specs, again, strict=True) if one.method == "time_network"
    )
    with pytest.raises(StudyError, match=r"4 genes are to be timed, expression\.csv has 3"):
        timing_jobs(study(memory_genes=[4]), Planning(root, file_digest))


@pytest.mark.parametrize("wrong", ["4", "4x", "0x1", "allxall", "x4"])
def test_settings_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="must be processes x estimator jobs"):
        study(crossed=[wrong])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genes")
    save_genes(folder, GeneValues(tuple("cab"), np.random.default_rng(0).normal(size=(3, 20))))
    return folder


@pytest.mark.parametrize(("solver", "processes", "jobs"), [("scikit-learn", 1, 2), ("cortax", 2, 1)])
def test_what_is_timed_is_the_whole_network(folder, solver, processes, jobs):
    asked = {"solver": solver, "n_genes": 3, "n_targets": 2, "processes": processes, "jobs": jobs}
    found = time_network(asked, folder, OPTIONS, folder, limit=100)
    assert 0 < found["startup"] < found["elapsed"]
    assert found["memory"] > 10e6
    assert found["cpu"] > 0.1
    values = np.random.default_rng(0).normal(size=(3, 20))[[1, 2, 0]]  # by name
    if solver == "cortax":
        shared = Regulators.prepare(values.T, "abc")
        wanted = [gene_importances(shared, name, values["abc".index(name)], OPTIONS) for name in "ab"]
    else:
        samples = values.T.astype(np.float32)
        wanted = [reference_importances(samples, i, values[i], OPTIONS, seed=i) for i in range(2)]
    assert found["total"] == pytest.approx(sum(each.sum() for each in wanted), rel=1e-12)


def test_what_takes_too_long_or_fails_is_said(folder):
    asked = {"solver": "cortax", "n_genes": 3, "n_targets": 2, "processes": 1, "jobs": 1}
    with pytest.raises(ProjectError, match="not done within the limit"):
        time_network(asked, folder, ForestOptions("forest", n_trees=500_000), folder, limit=0.05)
    with pytest.raises(ProjectError, match=r"(?s)exit status 1: .*FileNotFoundError"):
        time_network(asked, folder / "gone", OPTIONS, folder, limit=100)


def row(processes, n_targets, elapsed, *, jobs=1, startup=1.0, total=5.0):
    about = {"solver": "cortax", "n_genes": 8, "n_targets": n_targets, "processes": processes, "jobs": jobs}
    return about | {"elapsed": elapsed, "startup": startup, "cpu": elapsed, "memory": 1e6, "total": total}


def test_the_table_is_of_wall_times_of_the_whole():
    rows = [row(1, 8, t) for t in (8.0, 9.0, 30.0)] + [
        row(2, 8, 5.0),
        row(1, 8, 6.0, jobs=4),
        row(1, 4, 5.0, total=2.0),
    ]
    table = timing_table(rows, 2, {"some": 3.6}).set_index(["n_targets", "processes", "jobs"])
    assert table.loc[(8, 1, 1), "elapsed"] == 9
    assert table.loc[(8, 1, 1), "spread"] == pytest.approx(11 / 9)
    assert np.isnan(table.loc[(8, 2, 1), "spread"])
    two = table.loc[(8, 2, 1)]
    assert two["speedup"] == pytest.approx(9 / 5)
    assert two["efficiency"] == pytest.approx(9 / 10)
    assert two["compute_speedup"] == pytest.approx(8 / 4)
    assert two["genes_per_second"] == pytest.approx(8 / 5)
    # Two processes on eight genes against one on four.
    assert two["weak_efficiency"] == pytest.approx(5 / 5)
    assert two["cost_some"] == pytest.approx(2 * 5 / 1000)
    nested = table.loc[(8, 1, 4)]
    assert nested["efficiency"] == pytest.approx(9 / 6 / 2), "of four jobs two have a core"
    assert np.isnan(nested["weak_efficiency"])


def test_times_of_other_work_are_refused():
    with pytest.raises(ProjectError, match="settings found different importances"):
        timing_table([row(1, 8, 1.0), row(2, 8, 1.0, total=5.1)], 2, {})
