"""Edits of inputs, of stored results and of the study: what runs again, by hazard, through `ax run`."""

import json
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

ALL = "load parcellate parcellate phenotype split target target tune tune evaluate evaluate scores".split()


def settle():
    """Let time stamps tick: two edits within one tick are the business of test_same_second_edits."""
    time.sleep(0.02)


def test_same_numbers_whoever_works(project, monkeypatch):
    before = project.scores()
    jobs = project.jobs()
    records = {name: (project.root / "workdirs/main" / job / "outputs.json").read_text() for name, job in jobs.items()}
    project.cortax("down")
    kept = project.root / "workdirs" / "kept"
    shutil.move(project.root / "workdirs/main", kept)
    (project.root / "workdirs/main").mkdir()
    shutil.rmtree(project.root / "urd.db")
    with monkeypatch.context() as here:
        here.setenv("AX_SLICES", "3")
        here.setenv("CORTAX_BACKEND", "loky")
        project.cortax("up")
        built = project.run()
        assert sorted(built.made) == sorted(ALL), built.text
        pd.testing.assert_frame_equal(project.scores(), before)
        for name, job in project.jobs().items():
            new = json.loads((project.root / "workdirs/main" / job / "outputs.json").read_text())
            assert new["digest"] == json.loads(records[name])["digest"], name
        tuned = project.root / "workdirs/main" / project.jobs()["tune/blocks/ridge"]
        report = json.loads((tuned / "pool.json").read_text())
        assert report["backend"] == "loky"
        assert report["n_workers"] == 3
        project.cortax("down")
    shutil.rmtree(project.root / "workdirs/main")
    shutil.move(kept, project.root / "workdirs/main")
    shutil.rmtree(project.root / "urd.db")
    project.cortax("up")
    assert project.run().made == []


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
    assert set(run.linked) == {"load", "parcellate", "split"}
    assert run.made == ["phenotype", "target", "target", "tune", "tune", "evaluate", "evaluate", "scores"]
    assert run.text.count("nothing below needs to run") == 2, "who is studied is the same, and so is the other target"


def test_a_column_that_nobody_uses(project):
    """Early cut-off: the table is read again, and nothing else happens."""
    path = project.root / "input/mini/participants.tsv"
    table = pd.read_csv(path, sep="\t")
    table["handedness"] = "right"
    settle()
    table.to_csv(path, sep="\t", index=False)
    run = project.run()
    assert run.made == ["phenotype", "target", "target"]


def test_a_deleted_and_a_tampered_result(project):
    """H13: the job is made again, its file restored, and nothing below it needs to run."""
    first = project.job("parcellate/blocks")
    stored = np.load(first / "regions.npy")
    for harm in (os.unlink, lambda path: path.write_bytes(b"x" * path.stat().st_size)):
        settle()
        job = project.job("parcellate/blocks")
        harm(job / "regions.npy")
        run = project.run()
        assert run.made == ["parcellate"], run.text
        assert "its results were damaged: regions.npy" in run.text
        np.testing.assert_array_equal(np.load(job / "regions.npy"), stored)
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
    (project.job("tune/blocks/ridge") / "outputs.json").unlink()
    found = project.cortax("verify", check=False)
    assert found.returncode == 1
    assert f"{project.job('tune/blocks/ridge').name}: " in found.stdout
    assert project.run().made == ["tune", "evaluate"], "a job without a record stands for no other"


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
