"""Nothing stale is ever reused, and nothing that could be reused runs again: by hazard, through `ax run`."""

import json
import os
import re
import shutil
import time

import numpy as np
import pandas as pd

ALL = ["load", "parcellate", "parcellate", "phenotype", "split", "tune", "tune", "evaluate", "evaluate", "scores"]


def settle():
    """Let time stamps tick: two edits within one tick are the business of test_same_second_edits."""
    time.sleep(0.02)


def test_first_build_runs_every_job_in_order(project):
    assert project.first.made == ALL
    assert "Twenty-four subjects of noise (SIMULATED DATA): 10 jobs ran" in project.first.text
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


def test_same_numbers_for_any_number_of_slices(project, tmp_path_factory):
    before = project.scores()
    jobs = project.jobs()
    records = {name: (project.root / "workdirs/main" / job / "outputs.json").read_text() for name, job in jobs.items()}
    project.cortax("down")
    kept = project.root / "workdirs" / "kept"
    shutil.move(project.root / "workdirs/main", kept)
    (project.root / "workdirs/main").mkdir()
    shutil.rmtree(project.root / "urd.db")
    os.environ["AX_SLICES"] = "5"
    try:
        project.cortax("up")
        assert project.run().made == ALL
        pd.testing.assert_frame_equal(project.scores(), before)
        for name, job in project.jobs().items():
            new = json.loads((project.root / "workdirs/main" / job / "outputs.json").read_text())
            assert new["digest"] == json.loads(records[name])["digest"], name
        project.cortax("down")
    finally:
        del os.environ["AX_SLICES"]
    shutil.rmtree(project.root / "workdirs/main")
    shutil.move(kept, project.root / "workdirs/main")
    shutil.rmtree(project.root / "urd.db")
    project.cortax("up")
    assert project.run().made == []


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


def test_one_byte_of_one_image(project):
    """H8: size and modification time stay as they were."""
    path = next((project.root / "input/mini/sub-003").glob("*hemi-L*"))
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    settle()
    path.write_bytes(bytes(content))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    run = project.run()
    assert run.made[0] == "load"
    assert "phenotype" in run.linked
    assert run.made.count("tune") == 2
    assert "option inventory" in run.text


def test_one_cell_of_the_phenotype_table(project):
    """Images are not read again for it."""
    path = project.root / "input/mini/participants.tsv"
    table = pd.read_csv(path, sep="\t")
    table.loc[5, "fluid"] += 0.01
    settle()
    table.to_csv(path, sep="\t", index=False)
    run = project.run()
    assert set(run.linked) == {"load", "parcellate"}
    assert run.made == ["phenotype", "split", "tune", "tune", "evaluate", "evaluate", "scores"]


def test_a_column_that_nobody_uses(project):
    """Early cut-off: the table is read again, and nothing else happens."""
    path = project.root / "input/mini/participants.tsv"
    table = pd.read_csv(path, sep="\t")
    table["handedness"] = "right"
    settle()
    table.to_csv(path, sep="\t", index=False)
    run = project.run()
    assert run.made == ["phenotype"]


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


def test_a_deleted_and_a_tampered_result(project):
    """H13: the job is made again, its file restored, and nothing below it needs to run."""
    first = project.job("parcellate/blocks")
    stored = np.load(first / "regions.npy")
    for harm in (
        os.unlink,
        lambda path: os.truncate(path, 50),
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
    ):
        settle()
        job = project.job("parcellate/blocks")
        harm(job / "regions.npy")
        run = project.run()
        assert run.made == ["parcellate"], run.text
        assert "its results were damaged: regions.npy" in run.text
        np.testing.assert_array_equal(np.load(job / "regions.npy"), stored)
        assert project.run().made == []
    settle()
    (first / "regions.npy").unlink()
    run = project.run()
    assert run.made == [], "an intact job has the same results"
    assert (
        f"{first.name} was damaged: its results were restored from {project.job('parcellate/blocks').name}" in run.text
    )
    np.testing.assert_array_equal(np.load(first / "regions.npy"), stored)


def test_verify_finds_what_hides_behind_size_and_time(project):
    job = project.job("split")
    path = job / "cohort.npz"
    stat, good = path.stat(), path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    found = project.cortax("verify", check=False)
    assert found.returncode == 1
    assert f"{job.name}: cohort.npz has other bytes than recorded" in found.stdout
    assert project.run().made == ["split"]
    assert path.read_bytes() == good
    assert project.cortax("verify").stdout.endswith("0 damaged\n")


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


def test_growing_the_grid_adds_jobs_and_reruns_none(project):
    before = project.scores()
    project.edit(
        "studies/mini.toml",
        "[pipelines.ridge]",
        '[parcellations.more]\nkind = "weights"\nfile = "input/mini/soft.npy"\n\n[pipelines.ridge]',
    )
    run = project.run()
    assert run.made == ["parcellate", "tune", "evaluate", "scores"]
    after = project.scores()
    old = after[after["parcellation"] != "more"].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, before)


def test_an_edit_that_is_taken_back_costs_nothing(project):
    settle()
    path = project.root / "studies/mini.toml"
    text = path.read_text()
    path.write_text(text.replace("n_configs = 3", "n_configs = 4"))
    assert "tune" in project.run().made
    path.write_text(text)
    assert project.run().made == []
