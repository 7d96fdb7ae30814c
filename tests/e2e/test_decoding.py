"""Decoding through Exax: what runs when a study changes, and that no number depends on who did what."""

import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Project

from cortax.workloads.decoding.simulate import GroupShape, simulate_group

pytestmark = pytest.mark.slow

STUDY = """
kind = "decoding"
name = "eeg"
title = "Three people"
simulated = true

[epochs]
files = "input/eeg/{subject}_{phase}.npz"
subjects = ["sub-01", "sub-02", "sub-03"]
train = "encoding"
test = ["encoding", "retrieval"]

[features.amplitude]
n_bins = 3
points = 3

[decoders.svm]
kind = "svm"
select = 0.2
C = [1e-3, 1e-2]

[search]
n_outer = 3
n_inner = 2

[statistics]
permutations = 30
draws = 100
"""
LAST = ["group", "null", "report"]


@pytest.fixture(scope="module")
def eeg():
    root = Path(tempfile.mkdtemp(prefix="cx"))
    project = Project(root)
    project.study = "eeg"
    project.write("studies/eeg.toml", STUDY)
    simulate_group(root / "input/eeg", GroupShape(n_subjects=4, n_trials=18, n_channels=4, rate=50.0, strength=1.0))
    past = time.time() - 60
    for path in (root / "input/eeg").iterdir():
        os.utime(path, (past, past))
    project.cortax("build", "eeg")
    yield project
    project.cortax("down", "--force", check=False)
    shutil.rmtree(root, ignore_errors=True)


def digests(project):
    names = [name for name in project.jobs() if name != "report"]
    return {name: (project.job(name) / "outputs.json").read_text().partition('"files"')[0] for name in names}


def ran(project):
    """What kinds of jobs the last build ran."""
    return sorted({name.partition("/")[0] for name in project.build_log()["ran"]})


def rebuild(project, old, new):
    project.edit("studies/eeg.toml", old, new)
    project.cortax("build", "eeg")
    return ran(project)


def test_it_is_looked_up_like_any_other(eeg):
    assert "SIMULATED DATA: Three people" in (eeg.root / "results/eeg/report.html").read_text()
    scores = pd.read_parquet(eeg.root / "results/eeg/retrieval/scores.parquet")
    assert scores["subject"].tolist() == ["sub-01", "sub-02", "sub-03"]
    assert scores["n_trials"].tolist() == [18] * 3
    assert "sub-03" in eeg.cortax("results", "eeg").stdout
    group = eeg.cortax("results", "eeg", "--table", "group", "--where", "phase=retrieval").stdout
    assert "signs" in group
    assert "labels" in group
    assert "1e-03" not in eeg.cortax("results", "eeg", "--table", "choices").stdout.partition("configuration")[0]
    assert "0 damaged" in eeg.cortax("verify").stdout
    planned = eeg.cortax("plan", "eeg").stdout
    assert "9 units (features x decoder x subject x bin)" in planned
    assert "nothing would run" in planned


def test_what_users_vary_last_runs_the_last_jobs(eeg):
    first = digests(eeg)
    assert rebuild(eeg, "draws = 100", 'draws = 100\nmetric = "roc_auc"') == LAST
    assert rebuild(eeg, "permutations = 30", "permutations = 40\nsmoothing = 1.0") == LAST
    assert rebuild(eeg, "draws = 100", "draws = 200\nthreshold = 0.1") == ["group", "report"]
    eeg.write("studies/eeg.toml", STUDY)
    eeg.cortax("build", "eeg")
    assert digests(eeg) == first


def test_a_subject_or_a_decoder_more_runs_what_is_new(eeg):
    rebuild(eeg, '"sub-03"]', '"sub-03", "sub-04"]')
    new = {name for name in eeg.build_log()["ran"] if not name.startswith(tuple(LAST))}
    assert {name.split("/")[-1] for name in new} <= {"sub-04", "encoding", "retrieval"}
    assert all("sub-04" in name for name in new)
    assert rebuild(eeg, "[search]", '[decoders.lda]\nkind = "lda"\n\n[search]') == ["decode", "generalise", *LAST]
    assert all("/lda/" in name for name in eeg.build_log()["ran"] if name.startswith(("decode", "generalise")))
    eeg.write("studies/eeg.toml", STUDY)
    eeg.cortax("build", "eeg")


@pytest.mark.timeout(900)
def test_no_number_depends_on_slices_back_ends_or_the_scikit_learn_loop(eeg, monkeypatch):
    first = digests(eeg)
    for place, (name, value) in enumerate((("AX_SLICES", "1"), ("AX_SLICES", "5"), ("CORTAX_BACKEND", "loky"))):
        # What the server was started with holds until it ends.
        eeg.cortax("down", "--force")
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            # Jobs of edited code run again.
            for file in ("training", "generalising", "making"):
                path = f"cortax/workloads/decoding/{file}.py"
                eeg.write(path, (eeg.root / path).read_text() + f"\n_EDITED_{place} = {place}\n")
            eeg.cortax("build", "eeg")
            assert {"decode", "features", "generalise"} <= set(ran(eeg))
            assert digests(eeg) == first
    eeg.cortax("down", "--force")
    rebuild(eeg, "[search]", '[search]\nsolver = "scikit-learn"')
    # Decisions differ by rounding; votes, and so maps and tests, do not.
    assert {"decode", "generalise"} <= set(ran(eeg))
    later = {name: digest for name, digest in digests(eeg).items() if name.startswith(("null", "group"))}
    assert len(later) == 4
    assert later.items() <= first.items()
    # The study stays so: tests below hold for either solver.


def test_continuous_labels_are_predicted_and_patterns_drawn_on_a_head(eeg):
    pytest.importorskip("mne")
    (eeg.root / "input/ratings").mkdir()
    for number in range(4):
        random = np.random.default_rng(number)
        ratings, data = random.normal(50, 10, 24), random.normal(size=(24, 4, 20))
        data[:, 1] += ((ratings - 50) / 10)[:, None]
        file = f"input/ratings/sub-0{number % 2 + 1}_{('seen', 'kept')[number // 2]}.npz"
        np.savez(eeg.root / file, data=data, labels=ratings, channels=["Fz", "C3", "C4", "Oz"], rate=20.0)
    ratings = STUDY.replace("input/eeg", "input/ratings").replace('"eeg"', '"ratings"').replace(', "sub-03"', "")
    ratings = ratings.replace("encoding", "seen").replace("retrieval", "kept")
    ratings = ratings.replace('[decoders.svm]\nkind = "svm"', '[decoders.ridge]\nkind = "ridge"').replace(
        "C = [1e-3, 1e-2]\n", ""
    )
    eeg.write("studies/ratings.toml", ratings + '\n[report]\nmontage = "biosemi32"\n')
    eeg.cortax("build", "ratings")
    scores = pd.read_parquet(eeg.root / "results/ratings/kept/scores.parquet")
    assert scores["metric"].tolist() == ["pearson_r"] * 2
    assert (scores["diagonal"] > 0.5).all()
    assert (scores["p"] < 0.05).all()
    assert "patterns of amplitude, ridge on the head" in (eeg.root / "results/ratings/report.html").read_text()


def test_a_killed_build_goes_on_where_it_was(eeg):
    first = digests(eeg)
    path = eeg.root / "cortax/workloads/decoding/training.py"
    path.write_text(
        path.read_text().replace(
            '        """Decode a bin."""\n',
            '        """Decode a bin."""\n        import time\n        time.sleep(1.5)\n',
        )
    )
    building = eeg.start_build("eeg")
    eeg.wait_for(lambda: eeg.n_kept() >= 2)
    eeg.kill(building)
    eeg.wait_for(lambda: eeg.cortax("build", "eeg", check=False).returncode == 0)
    assert digests(eeg) == first
    eeg.assert_resumed(*(name for name in eeg.jobs() if name.startswith("decode/")))


def test_one_wrong_file_is_one_message_and_the_others_go_on(eeg):
    path = eeg.root / "input/eeg/sub-03_retrieval.npz"
    before = path.read_bytes()
    with np.load(path) as stored:
        content = dict(stored)
    content["data"][2, 1] = np.nan
    np.savez(path, **content)
    done = eeg.cortax("build", "eeg", check=False)
    text = re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert done.returncode == 1
    assert "INCOMPLETE" in text
    assert "channel 'E2' has values that are not finite in trial 3" in eeg.cortax("errors", "eeg").stdout.replace(
        "\n", ""
    )
    table = pd.read_parquet(eeg.root / "results/eeg/retrieval/scores.parquet")
    assert table["subject"].tolist() == ["sub-01", "sub-02"]
    path.write_bytes(before)
    eeg.cortax("build", "eeg")
