"""Edits of code, of libraries and of the environment: what runs again, by hazard, through `ax run`."""

import os
import re
import shutil
import subprocess
import sys
import time

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


def test_helper_of_a_helper(project):
    """H2-H4: `parcellate` does not import this module itself."""
    settle()
    project.edit("cortax/parcellation/atlas.py", "__all__ =", "CHANGED = 1\n__all__ =")
    run = project.run()
    assert run.made == ["parcellate", "parcellate"]
    assert "cortax/parcellation/atlas.py changed" in run.text
    assert run.text.count("nothing below needs to run") == 2


def test_same_second_edits(project):
    """H1: two edits of the same size within one mtime second run the code of the second."""
    path = project.root / "methods/a_scores.py"
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


def test_two_files_that_swap_their_contents(project):
    """H5-H7: digests are not combined in a way that can cancel."""
    one, two = project.root / "cortax/parcellation/one.py", project.root / "cortax/parcellation/two.py"
    one.write_text("WEIGHT = 1\n")
    two.write_text("WEIGHT = 2\n")
    project.edit(
        "cortax/parcellation/atlas.py", "CHANGED = 1\n", "from cortax.parcellation import one, two\nCHANGED = 1\n"
    )
    assert project.run().made == ["parcellate", "parcellate"]
    settle()
    one.write_text("WEIGHT = 2\n")
    assert project.run().made == ["parcellate", "parcellate"]
    settle()
    two.write_text("WEIGHT = 1\n")
    assert project.run().made == ["parcellate", "parcellate"]


def test_the_last_step(project):
    """A reported metric is changed: no search, no split, no image."""
    settle()
    project.edit("cortax/scores.py", "def get_metric(", "CHANGED = 1\n\n\ndef get_metric(")
    run = project.run()
    assert run.made == ["evaluate", "evaluate"]
    assert "cortax/scores.py changed" in run.text


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
    assert re.search(r"joblib \S+ -> 99\.0", run.text)
    assert {"tune", "evaluate"} <= set(run.made)
    assert "scores" in run.linked, "the same numbers came out"
    shutil.rmtree(overlay / "joblib")
    shutil.rmtree(info)
    assert project.run().made == []


def test_quick_run_after_an_edit_is_refused(project):
    """H14, H15: `ax run -q` keeps the old code in memory."""
    settle()
    project.edit("cortax/scores.py", "CHANGED = 1\n", "CHANGED = 2\n")
    quick = project.run("-q", check=False)
    assert quick.code != 0
    assert "the server has not loaded the present code of 'evaluate'" in quick.text
    assert quick.made == []
    assert project.run().made == ["evaluate", "evaluate"]


def test_cosmetic_edits_rebuild_nothing(project):
    """H17: comments, docstrings and formatting of the library."""
    settle()
    for name in ("cortax/scores.py", "cortax/data/maps.py", "cortax/folds.py", "cortax/search/pipelines.py"):
        path = project.root / name
        text = path.read_text()
        head, quotes, rest = text.partition('"""')
        path.write_text(head + quotes + "Edited: " + rest.replace("\n\n\n", "\n\n\n# A remark.\n\n", 1))
    assert project.run().made == []


def test_a_refactoring_of_load(project):
    """H18: rebuilt with the same bytes, it hands down its old id."""
    settle()
    project.edit("methods/a_load.py", "def synthesis(job):", "UNUSED = 1\n\n\ndef synthesis(job):")
    run = project.run()
    assert run.made == ["load"]
    assert "same results as" in run.text


def test_quick_run_after_another_process_has_seen_the_edit(project):
    """Whoever imports the methods rewrites the manifests: what counts is the code that the server runs."""
    settle()
    project.edit("cortax/scores.py", "__all__ =", "SEEN = 1\n__all__ =")
    subprocess.run([sys.executable, "-c", "import methods.a_evaluate"], cwd=project.root, env=project.env, check=True)
    quick = project.run("-q", check=False)
    assert quick.code != 0
    assert "the server has not loaded the present code of 'evaluate'" in quick.text
    assert project.run().made == ["evaluate", "evaluate"]
