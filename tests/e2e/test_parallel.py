"""Measurements as jobs of Exax: each is kept, none stands for another, and a build runs none."""

import json

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

ASKED = [
    "bench-parallel",
    "--part",
    "engines",
    "--backend",
    "slices",
    "--pipeline",
    "ridge",
    "--quick",
    "--keep",
    "--json",
]


def measurements(project):
    setups = (project.root / "workdirs/main").glob("main-[0-9]*/setup.json")
    return sum(json.loads(path.read_text())["method"] == "measure" for path in setups)


def counted(found):
    runs = pd.DataFrame(found["runs"])
    return len(runs[["round", "backend", "processes", "blas_threads"]].drop_duplicates())


def test_measurements_are_jobs_that_are_kept_and_never_reused(project):
    found = json.loads(project.cortax(*ASKED).stdout)
    assert found["advice"]["says"]
    assert counted(found) >= 2
    assert measurements(project) == counted(found)
    again = json.loads(project.cortax(*ASKED).stdout)
    assert [row["elapsed"] for row in again["runs"]] != [row["elapsed"] for row in found["runs"]]
    assert measurements(project) == counted(found) + counted(again)
    assert "main-" in project.ax("urd", ":measurements:").stdout
    assert "0 damaged" in project.cortax("verify").stdout
    built = project.run()
    assert built.made == []
    assert "measure" not in built.linked


def test_without_what_it_asks_for_the_script_says_who_sets_it(project):
    done = project.ax("run", "--quiet", "parallel")
    assert done.returncode != 0
    assert "`cortax bench-parallel --keep` sets it" in done.stdout + done.stderr
