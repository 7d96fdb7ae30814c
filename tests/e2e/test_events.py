"""A table with events as ABCD gives it, and images of two sessions as fMRIPrep leaves them, through a whole build."""

import html
import shutil
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import Project

from cortax.learning.cohort import open_cohort
from cortax.learning.folds import check_folds, open_folds

pytestmark = pytest.mark.slow

SESSIONS = ("baselineYear1Arm1", "2YearFollowUpYArm1")
NAME = "sub-{}_ses-{}_task-rest_run-{}_hemi-{}_space-fsaverage3_alff.func.gii"
STUDY = """
name = "abcd"
title = "Noise in two sessions"
simulated = true

[images]
root = "$COHORT/fmriprep"
space = "fsaverage3"
sessions = "each"
maps = { alff = "sub-{participant_id}/ses-{session}/func/sub-*_ses-{session}_*_run-{run}_hemi-{hemi}_*.func.gii" }

[phenotypes]
file = ["$COHORT/demographics.csv", "$COHORT/cognition.csv"]
join = ["src_subject_id", "eventname"]
where = "eventname == 'baseline_year_1_arm_1' and interview_age >= 100"
id = ["src_subject_id"]
id_rule = { pattern = "NDAR_INV(.*)", to = "NDARINV{1}" }
exclude = "$COHORT/failed.csv"
sessions = ["baselineYear1Arm1", "2YearFollowUpYArm1"]
confounds = ["interview_age"]

[targets.fluid]
kind = "regression"

[splits]
n_outer = 3
n_inner = 2

[parcellations.ico]
kind = "icosahedral"
level = 1

[pipelines.ridge]
kind = "ridge"
n_configs = 2

[evaluate]
confidence = 0.80
"""


def write_release(folder, n=16):
    """Write two tables with two events, a list of who failed, and two runs of each of two sessions."""
    rng = np.random.default_rng(0)
    (folder / "fmriprep").mkdir(parents=True)
    rows = [(f"NDAR_INV{i:02d}", event) for i in range(n) for event in ("baseline_year_1_arm_1", "2_year")]
    table = pd.DataFrame(rows, columns=["src_subject_id", "eventname"])
    ages = rng.integers(108, 130, len(table)).astype(float)
    ages[6] = np.nan  # of NDAR_INV03 at baseline
    table.assign(interview_age=ages).to_csv(folder / "demographics.csv", index=False)
    table.assign(fluid=rng.normal(size=len(table))).iloc[::-1].to_csv(folder / "cognition.csv", index=False)
    (folder / "failed.csv").write_text("src_subject_id,reason\nNDAR_INV01,motion\nNDAR_INV99,\n")
    for i in range(n):
        for session in SESSIONS:
            place = folder / "fmriprep" / f"sub-NDARINV{i:02d}" / f"ses-{session}" / "func"
            place.mkdir(parents=True)
            own = rng.normal(1, 0.2, 642)
            for run in (1, 2):
                for hemi in "LR":
                    # A mean over fewer runs has little more noise: it is no outlier.
                    values = nib.gifti.GiftiDataArray((own + rng.normal(0, 0.01, 642)).astype(np.float32))
                    name = NAME.format(f"NDARINV{i:02d}", session, run, hemi)
                    nib.save(nib.gifti.GiftiImage(darrays=[values]), place / name)
    cut = folder / "fmriprep/sub-NDARINV02" / f"ses-{SESSIONS[0]}" / "func"
    (cut / NAME.format("NDARINV02", SESSIONS[0], 2, "R")).write_bytes(b"<?xml")


@pytest.fixture(scope="module")
def built():
    patch = pytest.MonkeyPatch()
    root = Path(tempfile.mkdtemp(prefix="cx"))
    patch.setenv("COHORT", str(root / "input/abcd"))
    made = Project(root)
    made.study = "abcd"
    made.write("studies/abcd.toml", STUDY)
    write_release(root / "input/abcd")
    planned = made.cortax("plan", "abcd").stdout
    made.cortax("up")
    first = made.run()
    yield made, first, planned
    made.cortax("down", "--force", check=False)
    patch.undo()
    shutil.rmtree(root, ignore_errors=True)


COUNTS = (
    "phenotypes: where selects 15 of 32 rows; 17 are left out, 1 of them because a value that decides is missing",
    "phenotypes: lists leave out 2 of 30 rows: 2 x 'excluded'; the first: subject 'NDARINV01_2YearFollowUpYArm1'",
)
UNKNOWN = "exclude: nobody has 1 of its identifiers: ['NDARINV99']"


def test_what_is_selected_is_said_by_plan_build_check_and_page(built):
    project, first, planned = built
    page = html.unescape((project.job("report") / "report.html").read_text())
    checked = project.cortax("check", "abcd", check=False).stdout
    for count in COUNTS:
        assert count in planned
        assert count in first.text
        assert count in checked
        assert count.removeprefix("phenotypes: ") in page
    assert f"warning: study 'abcd': phenotypes: {UNKNOWN}" in first.text
    assert UNKNOWN in page


def test_who_is_left_out_keeps_the_reason_of_the_list(built):
    built[0].cortax("results", "abcd", "--table", "dropped", "--to", "dropped.csv")
    dropped = pd.read_csv(built[0].root / "dropped.csv")
    reasons = dict(zip(dropped["participant_id"], dropped["reason"], strict=True))
    for session in SESSIONS:
        assert reasons[f"NDARINV01_{session}"] == "excluded: motion"
        assert reasons[f"NDARINV03_{session}"] == "no row that `where` selects"
    assert len(reasons) == 4


def test_all_rows_of_a_person_are_on_one_side_of_every_split(built):
    cohort, folds = open_cohort(built[0].job("split")), open_folds(built[0].job("split"))
    persons = [subject.split("_")[0] for subject in cohort.subjects]
    assert len(persons) == 28
    assert list(cohort.groups) == persons
    check_folds(folds, persons)


def test_a_damaged_run_is_told_and_the_other_is_used(built):
    project = built[0]
    scan = f"NDARINV02_{SESSIONS[0]}, session {SESSIONS[0]}, run 2"
    assert scan in (project.job("load") / "lost_scans.csv").read_text()
    page = (project.job("report") / "report.html").read_text()
    assert "1 scan could not be used" in page
    assert scan in page


def test_a_changed_list_reads_no_image_again_but_of_those_it_lets_in(built):
    project = built[0]
    (project.root / "input/abcd/failed.csv").write_text("src_subject_id,reason\nNDAR_INV01,noise\n")
    again = project.run()
    assert "phenotype" in again.made
    assert "load" not in again.made
    assert "tune" not in again.made  # only a reason is another
