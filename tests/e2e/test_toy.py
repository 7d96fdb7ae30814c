"""A workload of another package: all that the engine does for its own, with no file of cortax or methods edited."""

import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import toy_project


@pytest.fixture(scope="module")
def toy():
    root = Path(tempfile.mkdtemp(prefix="cx"))
    project = toy_project(root)
    yield project
    project.cortax("down", "--force", check=False)
    shutil.rmtree(root, ignore_errors=True)


def expected(rounds=3, numbers=12):
    totals, before = [], 0
    for _ in range(rounds):
        before = int((np.arange(numbers) ** 2 + before).sum()) % 1_000_003
        totals.append(before)
    return totals


def digests(project):
    names = [name for name in project.jobs() if name.startswith(("count", "total", "tally"))]
    return {name: (project.job(name) / "outputs.json").read_text().partition('"files"')[0] for name in names}


@pytest.fixture(scope="module")
def built(toy):
    toy.cortax("build", "toy")
    return toy


def test_plan_needs_no_server_and_names_units(toy):
    planned = toy.cortax("plan", "toy").stdout
    assert "8 jobs, 36 units (round x number)" in planned
    assert "count/3" in planned


def test_methods_that_interleave_are_built_in_true_order(built):
    table = pd.read_parquet(built.root / "results/toy/totals.parquet")
    assert table["total"].tolist() == expected()
    assert table["round"].tolist() == ["1", "2", "3"]


def test_it_is_looked_up_like_any_other(built):
    assert f"{expected()[2]}" in built.cortax("results", "toy").stdout
    assert "count/1" in built.cortax("results", "toy", "--why").stdout
    assert built.cortax("toy-sum", "toy").stdout.strip() == str(sum(expected()))
    assert "toy-sum" in built.cortax("--help").stdout
    page = (built.root / "results/toy/report.html").read_text()
    assert "SIMULATED DATA: Rounds of counting" in page
    assert "Total of each round" in page
    assert "0 damaged" in built.cortax("verify").stdout
    assert "no job failed" in built.cortax("errors", "toy").stdout


def test_a_round_more_runs_what_is_new_and_against_tells_it(built):
    built.edit("studies/toy.toml", "rounds = 3", "rounds = 4")
    built.cortax("build", "toy")
    assert sorted(built.build_log()["ran"]) == ["count/4", "report", "tally", "total/4"]
    changes = built.cortax("results", "toy", "--against", "previous").stdout
    assert "new" in changes
    assert re.search(r"option +rounds: \+ \"4\" +tally", changes)
    built.edit("studies/toy.toml", "rounds = 4", "rounds = 3")
    built.cortax("build", "toy")


def test_a_narrowed_build_files_nothing(built):
    before = built.build_log()
    done = built.cortax("build", "toy", "--restrict", "round=2")
    assert "results are filed by a build without --restrict" in done.stdout
    assert built.build_log() == before
    wrong = built.cortax("build", "toy", "--restrict", "pipeline=ridge", check=False)
    assert wrong.returncode == 1
    assert "got 'pipeline', must be one of ['round']" in wrong.stdout + wrong.stderr


def test_what_it_refuses_is_one_message(built):
    built.edit("studies/toy.toml", "numbers = 12", "numbers = 12000")
    refused = built.cortax("build", "toy", check=False)
    assert refused.returncode == 1
    assert "rounds x numbers must be at most 10000" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    built.edit("studies/toy.toml", "numbers = 12000", "numbers = 12")


def test_an_edit_of_its_code_runs_what_rests_on_it(built):
    built.edit("toy/task.py", "number**2 + self.before", "self.before + number * number")
    built.cortax("build", "toy")
    ran = built.build_log()["ran"]
    # The same results: what rests on them does not run, but for the page, which names the jobs of its build.
    assert sorted(ran) == ["count/1", "count/2", "count/3", "report"]
    assert all("toy/task.py changed" in "; ".join(ran[name]["why"]) for name in ran if name != "report")


def test_a_killed_build_goes_on_where_it_was(built):
    built.write("pause", "0.4")
    built.edit("studies/toy.toml", "numbers = 12", "numbers = 16")
    building = built.start_build("toy")
    running = built.root / ".cortax/running"
    built.wait_for(lambda: any(path.stat().st_size > 30_000 for path in running.glob("*.sqlite-wal")))
    os.killpg(building.pid, signal.SIGKILL)
    building.communicate()
    (built.root / "pause").unlink()
    time.sleep(1)
    built.wait_for(lambda: built.cortax("build", "toy", check=False).returncode == 0)
    table = pd.read_parquet(built.root / "results/toy/totals.parquet")
    assert table["total"].tolist() == expected(numbers=16)
    built.edit("studies/toy.toml", "numbers = 16", "numbers = 12")
    built.cortax("build", "toy")


def test_loky_finds_the_same_bytes(built, monkeypatch):
    before = digests(built)
    built.edit("toy/task.py", "self.before + number * number", "number * number + self.before")
    monkeypatch.setenv("CORTAX_BACKEND", "loky")
    built.cortax("build", "toy")
    assert sorted(built.build_log()["ran"]) == ["count/1", "count/2", "count/3", "report"]
    assert digests(built) == before
