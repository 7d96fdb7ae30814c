"""A study of matrices of connectivity, of parcels and of one array of everybody: built, changed, shown."""

import shutil
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import Project
from nibabel.cifti2 import ParcelsAxis, ScalarAxis

pytestmark = pytest.mark.slow

N_REGIONS = 40
STUDY = """
name = "edges"
title = "Noise between regions"
simulated = true
seed = 7

[images]
root = "input/edges"
space = "fsaverage3"
max_missing = 0.05
subjects = "input/edges/order.txt"
maps = { thickness = "{hemi_fs}.thickness.npy" }

[tables.parcels]
files = ["input/edges/group.pscalar.nii"]

[connectivity.rest]
root = "input/edges"
matrices = "matrices/{participant_id}_relmat.tsv"
transform = "fisher-z"

[phenotypes]
file = "input/mini/participants.tsv"
group = "family_id"

[targets.fluid]
kind = "regression"

[splits]
n_outer = 3
n_inner = 2

[parcellations.blocks]
kind = "labels"
file = "input/mini/blocks.npy"

[pipelines.ridge]
kind = "ridge"
n_configs = 2

[evaluate]
confidence = 0.90

[importance]

[report]
brains = []
"""


def write_inputs(root):
    folder = root / "input/edges"
    (folder / "matrices").mkdir(parents=True)
    table = pd.read_csv(root / "input/mini/participants.tsv", sep="\t")
    rng, subjects = np.random.default_rng(3), list(table["participant_id"])[::-1]
    fluid = table["fluid"].to_numpy()[::-1]
    names = [f"region {i}" for i in range(N_REGIONS)]
    for subject, value in zip(subjects, fluid, strict=True):
        common = rng.normal(size=(80, 1)) * (1 + 0.3 * value)
        matrix = np.corrcoef(rng.normal(size=(80, N_REGIONS)) + common, rowvar=False)
        order = rng.permutation(N_REGIONS)
        shown = pd.DataFrame(matrix, names, names).iloc[order, order]
        shown.to_csv(folder / "matrices" / f"{subject}_relmat.tsv", sep="\t")
    for hemi in ("lh", "rh"):
        np.save(folder / f"{hemi}.thickness.npy", rng.normal(2.5, 0.5, (len(subjects), 642)) + 0.2 * fluid[:, None])
    (folder / "order.txt").write_text("\n".join(subjects) + "\n")
    vertices = [{"CIFTI_STRUCTURE_CORTEX_LEFT": np.array([i])} for i in range(5)]
    voxels = [np.empty((0, 3), int)] * 5
    axis = ParcelsAxis(names[:5], voxels, vertices, np.eye(4), (2, 2, 2), {"CIFTI_STRUCTURE_CORTEX_LEFT": 5})
    values = rng.normal(size=(len(subjects), 5)) + fluid[:, None]
    nib.Cifti2Image(values, (ScalarAxis(subjects), axis)).to_filename(folder / "group.pscalar.nii")


@pytest.fixture(scope="module")
def project():
    """A project with this study alone."""
    root = Path(tempfile.mkdtemp(prefix="cx"))
    made = Project(root)
    made.study = "edges"
    write_inputs(root)
    made.write("studies/edges.toml", STUDY)
    try:
        made.cortax("up")
        yield made
    finally:
        made.cortax("down", "--force", check=False)
        shutil.rmtree(root, ignore_errors=True)


def test_a_study_of_matrices_is_built_and_shown(project):
    built = project.run()
    assert {"load", "table", "connectivity", "parcellate", "importance", "report"} <= set(built.made), built.text
    scores = project.scores()
    assert set(scores["parcellation"]) == {"blocks", "parcels", "rest"}
    assert scores["value"].notna().all()
    edges = np.load(project.job("connectivity/rest") / "regions.npy")
    assert edges.shape == (24, N_REGIONS * (N_REGIONS - 1) // 2)
    assert np.isfinite(edges).all()
    page = (project.root / "results/edges/report.html").read_text()
    assert "~region " in page  # the strongest edges
    assert project.run().made == []
    # From here on it is asked which inputs are read again.
    project.edit("studies/edges.toml", "[report]", "[report]\nenabled = false")
    project.run()


def test_a_byte_of_the_stack_or_another_order_reads_the_images_again(project):
    path = project.root / "input/edges/lh.thickness.npy"
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    time.sleep(0.02)
    path.write_bytes(data)
    assert project.run().made[0] == "load"
    order = project.root / "input/edges/order.txt"
    first, second, *others = order.read_text().split("\n")
    order.write_text("\n".join([second, first, *others]))
    made = project.run().made
    assert made[:2] == ["load", "parcellate"]
    assert not {"connectivity", "table"} & set(made)


def test_another_transform_reads_the_matrices_alone(project):
    project.edit("studies/edges.toml", 'transform = "fisher-z"', 'transform = "none"')
    made = project.run().made
    assert made[0] == "connectivity"
    assert not {"load", "table", "parcellate"} & set(made)
    project.edit("studies/edges.toml", "_relmat.tsv", "_rolmat.tsv")
    done = project.ax("run", "--quiet", "studies")
    assert done.returncode != 0
    assert "no file fits the pattern 'matrices/{participant_id}_rolmat.tsv'" in done.stdout + done.stderr
