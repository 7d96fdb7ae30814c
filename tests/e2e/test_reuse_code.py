"""Edits of code, of libraries and of the environment: what runs again, by hazard, through `ax run`."""

import os
import re
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

ALL = "load parcellate parcellate phenotype split target target tune tune evaluate evaluate scores".split()


def settle():
    """Let time stamps tick: two edits within one tick are the business of test_same_second_edits."""
    time.sleep(0.02)


def test_first_build_runs_every_job_in_order(project):
    assert project.first.made == ALL
    assert "Twenty-four subjects of noise (SIMULATED DATA): 12 jobs ran" in project.first.text
    assert set(project.scores().columns) >= {
        "study",
        "parcellation",
        "pipeline",
        "target",
        "fold",
        "metric",
        "value",
    }


def test_second_build_links_every_job(project):
    again = project.run()
    assert again.made == []
    assert again.linked == ALL


def test_environment_and_slices_are_no_part_of_a_key(project, monkeypatch):
    """H10, H12: neither the environment nor the number of slices changes a number."""
    project.cortax("down")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("AX_SLICES", "5")
    (project.root / "workdirs/main/.slices").unlink()
    project.cortax("up")
    assert project.run().made == []
    monkeypatch.undo()
    project.cortax("down")
    (project.root / "workdirs/main/.slices").unlink()
    project.cortax("up")


def test_what_places_and_orders_work_is_no_part_of_a_key(project):
    """Another rule of how often units are tried runs nothing again; another solver, just what fits with it."""
    settle()
    project.edit("cortax/workflow/work/pool.py", '"killed": 3}', '"killed": 4}')
    assert project.run().made == []
    settle()
    project.edit("cortax/learning/search/ridge.py", "__all__ =", "CHANGED = 1\n__all__ =")
    run = project.run()
    assert run.made == ["tune", "tune", "evaluate", "evaluate"]
    assert run.text.count("same results as") == 4


def test_helper_of_a_helper(project):
    """H2-H4: `parcellate` does not import this module itself."""
    settle()
    project.edit("cortax/brain/parcellation/atlas.py", "__all__ =", "CHANGED = 1\n__all__ =")
    run = project.run()
    assert run.made == ["parcellate", "parcellate"]
    assert "cortax/brain/parcellation/atlas.py changed" in run.text
    assert run.text.count("nothing below needs to run") == 2


def test_same_second_edits(project):
    """H1: two edits of the same size within one mtime second run the code of the second."""
    path = project.root / "methods/regions/a_scores.py"
    text = path.read_text()
    stamp = time.time_ns() // 10**9 * 10**9
    for number in "12":
        path.write_text(text.replace("def synthesis(job):\n", f"def synthesis(job):\n    print('version {number}')\n"))
        os.utime(path, ns=(stamp, stamp))
        assert project.run().made == ["scores"]
        job = project.job("scores")
        assert (job / "OUTPUT/synthesis").read_text().strip() == f"version {number}"
    path.write_text(text)
    assert project.run().made == []


def test_the_last_step(project):
    """A reported metric is changed: no search, no split, no image."""
    settle()
    project.edit("cortax/learning/scores.py", "def get_metric(", "CHANGED = 1\n\n\ndef get_metric(")
    run = project.run()
    assert run.made == ["evaluate", "evaluate"]
    assert "cortax/learning/scores.py changed" in run.text


def test_a_library_upgrade(project):
    """H9: a package gets another version."""
    import joblib

    overlay = project.root / "overlay"
    shutil.copytree(os.path.dirname(joblib.__file__), overlay / "joblib")
    info = overlay / "joblib-99.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: joblib\nVersion: 99.0\n")
    (info / "RECORD").write_text("joblib/__init__.py,,\n")
    run = project.run()
    assert re.search(r"joblib \S+ \w+ -> 99\.0 \w+", run.text)
    assert {"tune", "evaluate"} <= set(run.made)
    assert "scores" in run.linked, "the same numbers came out"
    shutil.rmtree(overlay / "joblib")
    shutil.rmtree(info)
    assert project.run().made == []


def test_cosmetic_edits_rebuild_nothing(project):
    """H17: comments, docstrings and formatting of the library."""
    settle()
    for name in (
        "cortax/learning/scores.py",
        "cortax/brain/data/maps.py",
        "cortax/learning/folds.py",
        "cortax/learning/search/pipelines.py",
    ):
        path = project.root / name
        text = path.read_text()
        head, quotes, rest = text.partition('"""')
        path.write_text(head + quotes + "Edited: " + rest.replace("\n\n\n", "\n\n\n# A remark.\n\n", 1))
    assert project.run().made == []


def test_a_refactoring_of_load(project):
    """H18: rebuilt with the same bytes, it hands down its old id."""
    settle()
    project.edit("methods/regions/a_load.py", "def synthesis(job):", "UNUSED = 1\n\n\ndef synthesis(job):")
    run = project.run()
    assert run.made == ["load"]
    assert "same results as" in run.text


def test_quick_run_after_an_edit_is_refused(project):
    """H14, H15: `ax run -q` keeps the old code in memory, although another process has rewritten the manifests."""
    settle()
    project.edit("cortax/learning/scores.py", "__all__ =", "SEEN = 1\n__all__ =")
    subprocess.run(
        [sys.executable, "-c", "import methods.regions.a_evaluate"], cwd=project.root, env=project.env, check=True
    )
    quick = project.run("-q", check=False)
    assert quick.code != 0
    assert "the server has not loaded the present code of 'evaluate'" in quick.text
    assert quick.made == []
    assert project.run().made == ["evaluate", "evaluate"]


EDIT_FIRST = """
from dev import build_studies

def main(urd, job):
    ask = urd.build
    def edited(*arguments, **options):
        with open({path!r}, "w") as file:
            file.write("WORD = 'two'\\n")
        return ask(*arguments, **options)
    urd.build = edited
    return build_studies.main(urd, job)
"""


def test_an_edit_before_a_module_is_loaded(project):
    """The build began with another source than the one that its first job finds: nothing is filed under the old key."""
    settle()
    late = project.root / "cortax/brain/parcellation/late.py"
    late.write_text("WORD = 'one'\n")
    use = "    from cortax.brain.parcellation.late import WORD\n    print('late', WORD)\n"
    project.edit("methods/regions/a_scores.py", "def synthesis(job):\n", f"def synthesis(job):\n{use}")
    project.write("dev/build_edit_first.py", EDIT_FIRST.format(path=str(late)))
    done = project.ax("run", "--quiet", "edit_first")
    assert done.returncode != 0
    assert f"{late}: edited since the build began; start it again" in done.stdout + done.stderr
    assert project.run().made == ["scores"]
    assert "late two" in (project.job("scores") / "OUTPUT/synthesis").read_text()


OWN = """
import importlib, json, os
from pathlib import Path
from sklearn.linear_model import Ridge

class Lab(Ridge):
    def fit(self, X, y):
        self.alpha = json.loads(Path(__file__).with_name("lab.json").read_text())["alpha"]
        self.alpha *= importlib.import_module("dev." + "chosen").TIMES * float(os.environ.get("LAB_TIMES", "1"))
        return super().fit(X, y)
"""


@pytest.mark.timeout(900)
def test_what_own_code_reads_without_importing_it(project, monkeypatch):
    """A helper that is chosen by name and a table beside the code: workers read them, whoever they are."""
    project.write("dev/own.py", OWN)
    project.write("dev/chosen.py", "TIMES = 1.0\n")
    project.write("dev/lab.json", '{"alpha": 1.0}')
    study = (project.root / "studies/mini.toml").read_text()
    text = study.replace('name = "mini"', 'name = "own"').partition("[targets.sex]")
    own = 'kind = "sklearn"\nregression = "dev.own:Lab"\nspace = { fit_intercept = true }\nn_configs = 1'
    rest = text[2][text[2].index("[splits]") :].replace('kind = "ridge"\nn_configs = 3', own)
    project.write("studies/own.toml", text[0] + rest)

    def build():
        done = project.cortax("build", "own")
        scores = pd.read_parquet(project.root / "results/own/scores.parquet")
        return done.stdout + done.stderr, scores["value"].tolist()

    def plan():
        return project.cortax("plan", "own").stdout

    _, first = build()
    project.write("dev/chosen.py", "TIMES = 1.0  # as before\n")
    assert "nothing would run" in plan()
    project.write("dev/lab.json", '{"alpha": 900.0}')
    assert "dev/lab.json, which own code reads, changed" in plan()
    said, heavy = build()
    assert "dev/lab.json, which own code reads, changed" in said
    assert heavy != first
    project.write("dev/chosen.py", "TIMES = 1e-9\n")
    monkeypatch.setenv("CORTAX_BACKEND", "loky")
    said, light = build()
    monkeypatch.undo()
    assert "dev/chosen.py, which own code reads, changed" in said
    assert light not in (first, heavy)
    assert "nothing would run" in plan()
    _variables(project, monkeypatch, plan, build, light)


def _variables(project, monkeypatch, plan, build, light):
    """A variable that own code asks for: another value runs what asked for it, where jobs run with that value."""
    monkeypatch.setenv("LAB_TIMES", "1e9")
    assert "$LAB_TIMES, which own code reads, changed" in plan()
    refused = project.cortax("build", "own", check=False)
    assert refused.returncode == 1
    assert (
        "$LAB_TIMES, which own code reads, must be the same here and where jobs run" in refused.stdout + refused.stderr
    )
    assert "Traceback" not in refused.stdout + refused.stderr
    project.cortax("down")
    said, other = build()
    assert "$LAB_TIMES, which own code reads, changed" in said
    assert other != light
    monkeypatch.delenv("LAB_TIMES")
    project.cortax("down")
    assert build()[1] == light
