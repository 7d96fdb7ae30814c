"""Measuring for real: interpreters, their threads, what they took, and that every setting finds the same."""

import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from cortax import cli
from cortax.cli.app import add_workload_commands
from cortax.errors import ProjectError
from cortax.workflow.work.payload import open_task, write_payload
from cortax.workflow.work.process_tree import cpu_seconds, descendants, memory
from cortax.workloads.bench import commands
from cortax.workloads.bench.cases import PIPELINE_NAMES, Case, CaseTask, make_cell, make_problem, measure_cases
from cortax.workloads.bench.machine import current_setting, installed, machine
from cortax.workloads.bench.measure import Setting
from cortax.workloads.bench.tables import Advice, write_settings

RIDGE, FOREST = Case("ridge", "small"), Case("forest", "small")


@pytest.mark.parametrize("name", PIPELINE_NAMES)
def test_a_cell_has_a_score_and_is_the_same_every_time(name):
    case = Case(name, "small")
    cell = make_cell(make_problem(case), case)
    value = cell()
    assert np.isfinite(value)
    assert cell() == make_cell(make_problem(case), case)() == value


def test_jobs_of_a_forest_change_nothing_that_it_finds():
    problem = make_problem(FOREST)
    assert make_cell(problem, Case("forest", "small", jobs=3))() == pytest.approx(
        make_cell(problem, FOREST)(), abs=1e-12
    )


def test_workers_that_are_no_forks_are_given_the_same_cell(tmp_path):
    task = CaseTask.of(Case("ridge", "small", 4))
    there = open_task(write_payload(tmp_path / "p", task))
    assert there.units() == task.units()
    (note,) = there.do(3)
    assert f'"value": {task.cell()}' in note.decode()
    assert f'"worker": "{os.getpid()}-' in note.decode()


@pytest.mark.parametrize(
    ("setting", "cases"),
    [
        (Setting("slices", 2), [Case("ridge", "small", 6), Case("forest", "small", 2, 2)]),
        (Setting("slices", 1, 2), [Case("ridge", "small", 1)]),
        (Setting("threads", 2), [Case("ridge", "small", 4)]),
    ],
    ids=lambda found: str(found) if isinstance(found, Setting) else "",
)
def test_what_one_setting_took(tmp_path, setting, cases):
    started = time.monotonic()
    rows = measure_cases(setting, cases, tmp_path, limit=60)
    took = time.monotonic() - started
    assert [(row["pipeline"], row["jobs"], row["n_units"]) for row in rows] == [
        (case.pipeline, case.jobs, case.n_units) for case in cases
    ]
    for row, case in zip(rows, cases, strict=True):
        # As the workers themselves found it, whatever the environment here says.
        assert len(row["threads"]) >= 2
        assert set(row["threads"].values()) == {setting.blas_threads}
        assert row["value"] == pytest.approx(make_cell(make_problem(case), case)(), rel=1e-6)
        assert not row["over"]
        assert 0 < row["startup"] < row["elapsed"] < took
        assert 1 <= row["n_workers"] <= 2
        assert 0 < row["cold"] < row["elapsed"]
        assert (row["warm"] is None) == (case.n_units == row["n_workers"])
        assert row["memory"] > 50e6
        assert 0 < row["cpu"] < took * os.cpu_count()
    assert not list((tmp_path / ".cortax").glob("engines/*"))


def test_what_takes_too_long_is_ended_and_the_rest_is_measured(tmp_path, monkeypatch):
    # Read by the interpreter, which is a process of its own: it has its cells from here.
    (tmp_path / "sitecustomize.py").write_text(
        "import cortax.workloads.bench.cases as cases\n"
        "_make = cases.make_cell\n"
        "def make_cell(problem, case):\n"
        "    import time\n"
        "    return (lambda: time.sleep(600)) if case.pipeline == 'svm' else _make(problem, case)\n"
        "cases.make_cell = make_cell\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    before = descendants(os.getpid())
    cases = [Case("svm", "small", 2), Case("forest", "small", 2)]
    rows = measure_cases(Setting("slices", 2), cases, tmp_path, limit=1.5)
    assert [(row["pipeline"], row["over"]) for row in rows] == [("svm", True), ("forest", False)]
    assert rows[0]["elapsed"] == 1.5
    assert rows[0]["cpu"] is None
    assert descendants(os.getpid()) <= before


def test_an_interpreter_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "cortax").mkdir()
    (tmp_path / "cortax" / "__init__.py").write_text("raise RuntimeError('of another project')")
    with pytest.raises(
        ProjectError, match=r"slices, 1 x 1: the interpreter ended with exit status 1: (?s:.*)RuntimeError"
    ):
        measure_cases(Setting("slices", 1), [RIDGE], tmp_path, limit=60)


def test_cpu_and_memory_of_a_process_and_all_below_it():
    spin = (
        "import time; b = bytearray(60 << 20); end = time.thread_time() + 0.3\nwhile time.thread_time() < end: pass\n"
    )
    below = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin + 'input()'!r}])"
    with subprocess.Popen([sys.executable, "-c", below], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while cpu_seconds(descendants(process.pid)) < 0.3 and time.monotonic() < deadline:
            time.sleep(0.02)
        found = descendants(process.pid)
        assert len(found) == 2
        assert memory(found) > 60 << 20 > memory([psutil.Process(process.pid)])
        process.communicate(b"\n")
    assert cpu_seconds(found) == memory(found) == 0
    assert descendants(process.pid) == set()


def test_memory_that_is_shared_counts_once():
    held = bytearray(os.urandom(1 << 20)) * 80
    alone = memory([psutil.Process()])
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        both = memory([psutil.Process(), psutil.Process(pid)])
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert len(held) < alone
    assert both < alone + len(held) // 2


def test_which_back_ends_are_there():
    there, missing = installed(["slices", "threads", "loky", "ray"])
    assert there[:3] == ["slices", "threads", "loky"]
    assert len(there) + len(missing) == 4
    assert all("'ray' needs the package" in text for text in missing)


def test_what_a_build_does_now(tmp_path, monkeypatch):
    monkeypatch.delenv("AX_SLICES", raising=False)
    (tmp_path / "cortax.toml").write_text('backend = "loky"\nworkers = 5\n')
    assert current_setting(tmp_path) == Setting("loky", 5)
    (tmp_path / "cortax.toml").write_text('backend = "slurm"\n')
    assert current_setting(tmp_path) == Setting("slices", 2)
    assert machine()["n_cores"] >= 1


def run(*arguments):
    add_workload_commands(cli.app)
    return CliRunner().invoke(cli.app, ["bench-parallel", *arguments])


def test_the_command_measures_prints_and_writes(tmp_path, monkeypatch):
    (tmp_path / "accelerator.conf").write_text("")
    (tmp_path / "cortax.toml").write_text("workers = 1 # ours\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "_QUICK_SECONDS", 0.01)  # one setting is begun, no other
    ran = run("--quick", "--pipeline", "ridge", "--write")
    assert ran.exit_code == 0, ran.output
    for said in (
        "By case: medians over rounds",
        "no time was left for slices, ",
        'keep backend = "slices", workers = 1',
    ):
        assert said in ran.output
    assert (tmp_path / "cortax.toml").read_text() == "workers = 1 # ours\n"
    assert (tmp_path / "results/bench-parallel/cases.parquet").exists()


def test_what_is_recommended_is_written_where_it_is_another(tmp_path):
    now, better = Setting("slices", 2), Setting("loky", 4)
    assert write_settings(tmp_path, Advice(now, now, 1.0, 0.1, 5, 3)) is None
    assert not list(tmp_path.iterdir())
    assert write_settings(tmp_path, Advice(better, now, 2.0, 0.1, 5, 3)) == tmp_path / "cortax.toml"
    assert (tmp_path / "cortax.toml").exists()


def test_the_command_refuses_what_does_not_exist(tmp_path, monkeypatch):
    (tmp_path / "accelerator.conf").write_text("")
    monkeypatch.chdir(tmp_path)
    ran = run("--pipeline", "rigde")
    assert isinstance(ran.exception, ProjectError)
    assert "did you mean 'ridge'?" in str(ran.exception)
