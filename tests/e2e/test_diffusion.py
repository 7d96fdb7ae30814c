"""Diffusion through Exax: what runs when a study changes, and that no byte depends on who fitted which voxels."""

import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from conftest import Project

from cortax.workloads.diffusion.simulate import VolumeShape, simulate_volume

pytestmark = pytest.mark.slow

PLACE = "{participant_id}/{session}/dwi/{participant_id}_{session}"
STUDY = f"""
kind = "diffusion"
name = "dwi"
title = "One person"
simulated = true

[volumes]
root = "input/dwi"
dwi = "{PLACE}_dwi.nii.gz"
bval = "{PLACE}_dwi.bval"
bvec = "{PLACE}_dwi.bvec"
mask = "{PLACE}_desc-brain_mask.nii.gz"

[models.tensor]
kind = "dti"

[grid]
voxels_per_unit = 7
"""
DWI = "input/dwi/sub-01/ses-1/dwi/sub-01_ses-1_dwi.nii.gz"


@pytest.fixture(scope="module")
def dwi():
    root = Path(tempfile.mkdtemp(prefix="cx"))
    project = Project(root)
    project.study = "dwi"
    project.write("studies/dwi.toml", STUDY)
    simulate_volume(root / "input/dwi", VolumeShape((8, 5, 4), 3, ((1000.0, 12), (2000.0, 30))))
    image = nib.load(root / DWI)
    values = image.get_fdata().astype(np.float32)
    values[3, 2, 1, 5] = np.nan
    nib.save(nib.Nifti1Image(values, image.affine), root / DWI)
    settle(root)
    project.cortax("build", "dwi")
    yield project
    project.cortax("down", "--force", check=False)
    shutil.rmtree(root, ignore_errors=True)


def settle(root):
    """Digests of files that changed a moment ago are not remembered; make these look settled."""
    past = time.time() - 60
    for path in (root / "input/dwi").rglob("*.*"):
        os.utime(path, (past, past))


def digests(project):
    names = [name for name in project.jobs() if name != "report"]
    return {name: (project.job(name) / "outputs.json").read_text().partition('"files"')[0] for name in names}


def rebuild(project, old="", new=""):
    """Build, and return what kinds of jobs ran."""
    if old:
        project.edit("studies/dwi.toml", old, new)
    before = project.build_log()["jobs"]
    project.cortax("build", "dwi")
    after = project.build_log()
    return sorted({name.partition("/")[0] for name, job in after["jobs"].items() if before.get(name) != job})


def edit_code(project, place):
    """Jobs of edited code run again."""
    path = "cortax/workloads/diffusion/fitting.py"
    project.write(path, (project.root / path).read_text() + f"\n_EDITED_{place} = {place}\n")


def test_maps_are_files_beside_the_page(dwi):
    folder = dwi.root / "results/dwi/sub-01/ses-1/dwi"
    fa = nib.load(folder / "sub-01_ses-1_model-tensor_param-fa_dwimap.nii.gz")
    status = nib.load(folder / "sub-01_ses-1_model-tensor_param-status_dwimap.nii.gz").get_fdata()
    np.testing.assert_array_equal(fa.affine, nib.load(dwi.root / DWI).affine)
    assert (status == 255).sum() == 2 * 5 * 4
    assert status[3, 2, 1] not in (0, 255)
    assert np.isnan(fa.get_fdata()).sum() == 1
    page = (dwi.root / "results/dwi/report.html").read_text()
    assert "SIMULATED DATA: One person" in page
    assert "1 of 120 voxels could not be fitted" in page
    assert "not_finite" in dwi.cortax("results", "dwi", "--table", "status").stdout
    assert "sub-01_ses-1" in dwi.cortax("results", "dwi", "--where", "map=fa").stdout
    planned = dwi.cortax("plan", "dwi").stdout
    assert "18 units (model x volume x run of voxels)" in planned
    assert "nothing would run" in planned
    assert "0 damaged" in dwi.cortax("verify").stdout


def test_another_map_fits_nothing_and_another_size_of_units_runs_nothing(dwi):
    first = digests(dwi)
    assert rebuild(dwi, "[grid]", '[maps]\nnames = ["fa", "md"]\n[grid]') == ["maps", "report"]
    assert rebuild(dwi, 'names = ["fa", "md"]', 'names = ["*"]') == ["maps", "report"]
    assert digests(dwi) == first
    assert rebuild(dwi, "voxels_per_unit = 7", "voxels_per_unit = 50") == []
    assert rebuild(dwi, "[grid]", '[models.ols]\nkind = "dti"\nmethod = "ols"\n[grid]') == ["fit", "maps", "report"]
    assert "fit/tensor/sub-01_ses-1" not in dwi.build_log()["ran"]
    dwi.write("studies/dwi.toml", STUDY)
    rebuild(dwi)


@pytest.mark.timeout(900)
def test_no_byte_depends_on_units_slices_or_back_ends(dwi, monkeypatch):
    first = digests(dwi)
    ways = ((2, {}), (5, {"AX_SLICES": "1"}), (64, {"AX_SLICES": "5"}), (11, {"CORTAX_BACKEND": "loky"}), (1 << 15, {}))
    for place, (voxels, environment) in enumerate(ways):
        if environment:
            dwi.cortax("down", "--force")
        with monkeypatch.context() as changed:
            for name, value in environment.items():
                changed.setenv(name, value)
            dwi.write("studies/dwi.toml", STUDY.replace("voxels_per_unit = 7", f"voxels_per_unit = {voxels}"))
            edit_code(dwi, place)
            dwi.cortax("build", "dwi")
            assert "fit/tensor/sub-01_ses-1" in dwi.build_log()["ran"]
            assert digests(dwi) == first
            if environment:
                dwi.cortax("down", "--force")
    dwi.write("studies/dwi.toml", STUDY)


def test_a_killed_build_goes_on_where_it_was(dwi):
    first = digests(dwi)
    path = dwi.root / "cortax/workloads/diffusion/fitting.py"
    slow = '        """Fit a run of voxels."""\n        import time\n        time.sleep(0.7)\n'
    path.write_text(path.read_text().replace('        """Fit a run of voxels."""\n', slow))
    building = dwi.start_build("dwi")
    running = dwi.root / ".cortax/running"
    dwi.wait_for(lambda: any(found.stat().st_size > 30_000 for found in running.glob("*.sqlite-wal")))
    os.killpg(building.pid, signal.SIGKILL)
    building.communicate()
    time.sleep(1)
    dwi.wait_for(lambda: dwi.cortax("build", "dwi", check=False).returncode == 0)
    assert digests(dwi) == first


def test_a_volume_that_is_cut_short_stops_no_other(dwi):
    one, two = dwi.root / "input/dwi/sub-01", dwi.root / "input/dwi/sub-02"
    shutil.copytree(one, two)
    for path in list((two / "ses-1/dwi").iterdir()):
        path.rename(path.with_name(path.name.replace("sub-01", "sub-02")))
    path = two / "ses-1/dwi/sub-02_ses-1_dwi.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    settle(dwi.root)
    done = dwi.cortax("build", "dwi", check=False)
    assert done.returncode == 1
    assert "INCOMPLETE" in re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert "sub-02_ses-1_dwi.nii.gz: not a readable NIfTI file" in dwi.cortax("errors", "dwi").stdout.replace("\n", "")
    assert pd.read_parquet(dwi.job("maps/tensor/sub-01_ses-1") / "maps.parquet")["n_voxels"].eq(119).all()
    path.write_bytes(whole)
    settle(dwi.root)
    assert rebuild(dwi) == ["fit", "maps", "report", "volume"]
    assert all("sub-02" in name or name == "report" for name in dwi.build_log()["ran"])
