"""What a plan says of a study: sums, sentences, the table."""

import hashlib
import json
import subprocess
import sys

import pytest

from cortax.provenance import outputs
from cortax.workflow.build.history import History
from cortax.workflow.build.preview import Planned, Preview, jobs_table, measured_jobs, n_workers, summary_lines
from cortax.workflow.plan.identity import note_identity
from cortax.workflow.plan.jobspec import JobSpec, Work

WORK = Work("ridge", 10, ((5, 1.0),))
UNITS = {"tune": "parcellation x pipeline x target x fold"}


def job(name, why=(), waits=False, seconds=1.0, memory=0.0, method="tune"):
    return Planned(JobSpec(name, method, {}, work=WORK), tuple(why), waits, seconds, memory)


def test_a_finished_study_is_two_sentences():
    found = Preview((job("tune/a/ridge"), job("evaluate/a/ridge", method="evaluate")), 2, 8e9, UNITS)
    assert list(summary_lines(found)) == [
        "2 jobs, 10 units (parcellation x pipeline x target x fold)",
        "nothing would run",
    ]
    assert list(jobs_table(found, 30)) == []
    assert (found.seconds, found.memory) == (0, 0)


def test_only_what_would_run_is_summed():
    jobs = (
        job("tune/a/ridge", seconds=5e6, memory=9e12),
        job("tune/b/ridge", ["option n_configs: 3 -> 4"], seconds=3600, memory=2e9),
        job("evaluate/b/ridge", ["tune/b/ridge runs first"], waits=True, seconds=3600, memory=3e9, method="evaluate"),
    )
    found = Preview(jobs, 4, 8e9, UNITS)
    assert list(summary_lines(found)) == [
        "3 jobs, 20 units (parcellation x pipeline x target x fold)",
        "2 would run, 10 units; 1 of them only if what they need turns out otherwise than before",
        "about 2.0 h with 4 workers, 3.0 GB at the peak, 8.0 GB are allowed",
    ]
    assert list(summary_lines(Preview(jobs, 4, 1e9, UNITS)))[2].endswith(
        "; jobs that need more have fewer workers at a time"
    )
    assert list(jobs_table(found, 1)) == [
        ("tune/b/ridge", "60 min", "2.0 GB", "option n_configs: 3 -> 4"),
        ("... 1 more", "", "", "--all prints them"),
    ]
    assert len(list(jobs_table(found, None))) == 2


def test_many_reasons_are_counted():
    (row,) = jobs_table(Preview((job("scores", ["a", "b", "c", "d", "e"]),), 2, 8e9, UNITS), None)
    assert row[3] == "a; b; c and 2 more"


@pytest.mark.parametrize(("pool", "peak"), [('{"peak": 7}', 7), ("{", 0), ("{}", 0), (None, 0)])
def test_what_the_newest_job_of_a_name_took(tmp_path, pool, peak):
    folder = tmp_path / "main-3"
    folder.mkdir()
    setup = {"hash": hashlib.sha1(b"").hexdigest(), "options": {"n": 1}, "jobs": {}, "exectime": {"total": 1.5}}
    (folder / "setup.json").write_text(json.dumps(setup))
    (folder / "post.json").write_text("{}")
    if pool is not None:
        (folder / "pool.json").write_text(pool)
    outputs.record(folder, [], method="tune", name="mini/tune/a/ridge")
    did = Work("ridge", 4, ((2, 0.5),))
    note_identity(folder, "mini", JobSpec("tune/a/ridge", "tune", {}, work=did))
    history = History(tmp_path, tmp_path)
    spec, other = JobSpec("tune/a/ridge", "tune", {}, work=WORK), JobSpec("tune/b/ridge", "tune", {}, work=WORK)
    assert list(measured_jobs([spec, other], history, "mini")) == [(spec, did, 1.5, peak)]


def test_workers_are_as_settings_say_or_as_the_workdir_has_slices(tmp_path, monkeypatch):
    for name in ("AX_WORKDIR", "AX_SLICES", "CORTAX_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    assert n_workers(tmp_path) == 2
    (tmp_path / "workdirs/main").mkdir(parents=True)
    (tmp_path / "workdirs/main/.slices").write_text("64\n")
    assert n_workers(tmp_path) == 64
    (tmp_path / "cortax.toml").write_text("workers = 7\n")
    assert n_workers(tmp_path) == 7


@pytest.mark.parametrize("workload", ["regions.plan.plan", "network.plan", "regions.study.study"])
def test_a_plan_loads_nothing_that_computes(workload):
    """A build with nothing to do would wait seconds for it."""
    code = (
        f"import sys, cortax.workloads.{workload}; print({{'sklearn', 'scipy', 'pandas', 'numba'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
