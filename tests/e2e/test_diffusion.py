"""Diffusion through Exax: what runs when a study changes, and that no byte depends on who fitted which voxels."""

import os
import re
import shutil
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

[models.water]
kind = "fwdti"

[models.fibres]
kind = "csd"
sh_order = 4
shell = 2000
response = [1.7e-3, 3e-4, 4000.0]

[grid]
voxels_per_unit = 7
"""
MODELS = ("tensor", "water", "fibres")
NO_PAGE = "\n[report]\nenabled = false\n"
VOLUME = "sub-01_ses-1"
DWI = f"input/dwi/sub-01/ses-1/dwi/{VOLUME}_dwi.nii.gz"
MASK = f"input/dwi/sub-01/ses-1/dwi/{VOLUME}_desc-brain_mask.nii.gz"


@pytest.fixture(scope="module")
def dwi():
    root = Path(tempfile.mkdtemp(prefix="cx"))
    project = Project(root)
    project.study = "dwi"
    project.write("studies/dwi.toml", STUDY)
    simulate_volume(root / "input/dwi", VolumeShape((6, 4, 3), 3, ((1000.0, 9), (2000.0, 20))))
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


def digests(project, *steps):
    """What jobs of these steps hold."""
    names = [name for name in project.jobs() if name.partition("/")[0] in steps]
    return {name: (project.job(name) / "outputs.json").read_text().partition('"files"')[0] for name in names}


def rebuild(project, text):
    """Build a study, and return which jobs ran."""
    project.write("studies/dwi.toml", text)
    before = project.build_log()["jobs"]
    project.cortax("build", "dwi")
    return {name for name, job in project.build_log()["jobs"].items() if before.get(name) != job}


def of_models(*steps, models=MODELS, block=""):
    return {f"{step}/{model}/{VOLUME}{block}" for step in steps for model in models}


def edit_code(project, module, place):
    """Jobs of edited code run again."""
    path = f"cortax/workloads/diffusion/{module}.py"
    project.write(path, (project.root / path).read_text() + f"\n_EDITED_{place} = {place}\n")


def read_map(project, model, name):
    return nib.load(project.root / f"results/dwi/sub-01/ses-1/dwi/{VOLUME}_model-{model}_param-{name}_dwimap.nii.gz")


def test_maps_are_files_beside_the_page(dwi):
    for model, name in (("tensor", "fa"), ("water", "f"), ("fibres", "gfa")):
        found, status = read_map(dwi, model, name), read_map(dwi, model, "status").get_fdata()
        np.testing.assert_array_equal(found.affine, nib.load(dwi.root / DWI).affine)
        assert (status == 255).sum() == 2 * 4 * 3
        assert status[3, 2, 1] not in (0, 255)
        assert np.isnan(found.get_fdata()).sum() == 1
    page = (dwi.root / "results/dwi/report.html").read_text()
    assert "SIMULATED DATA: One person" in page
    assert "3 of 144 voxels could not be fitted" in page
    assert "not_finite" in dwi.cortax("results", "dwi", "--table", "status").stdout
    assert VOLUME in dwi.cortax("results", "dwi", "--where", "map=fa").stdout
    planned = dwi.cortax("plan", "dwi").stdout
    assert "21 units (model x volume x run of voxels)" in planned
    assert "nothing would run" in planned
    assert "0 damaged" in dwi.cortax("verify").stdout


def test_another_map_fits_nothing_and_another_size_of_units_runs_nothing(dwi):
    maps = of_models("maps")
    assert rebuild(dwi, STUDY + '[maps]\nnames = ["fa", "gfa", "f"]\n') == maps | {"report"}
    assert rebuild(dwi, STUDY.replace("voxels_per_unit = 7", "voxels_per_unit = 50") + NO_PAGE) == maps


def test_a_larger_mask_fits_its_new_voxels_and_another_model_repeats_no_other(dwi):
    fits = digests(dwi, "volume", "fit")
    fa = read_map(dwi, "tensor", "fa").get_fdata()
    image = nib.load(dwi.root / MASK)
    inside = image.get_fdata()
    inside[0, 1:3, 1] = 1
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), image.affine), dwi.root / MASK)
    settle(dwi.root)
    ran = rebuild(dwi, STUDY + '[models.ols]\nkind = "dti"\nmethod = "ols"\n' + NO_PAGE)
    new = of_models("fit", models=(*MODELS, "ols"), block="/block-2")
    again = of_models("residuals", "maps", models=(*MODELS, "ols"))
    assert ran == {f"volume/{VOLUME}/block-2", f"fit/ols/{VOLUME}", *new, *again}
    now = digests(dwi, "volume", "fit")
    assert {name: now[name] for name in fits} == fits
    larger = read_map(dwi, "tensor", "fa").get_fdata()
    there = np.zeros_like(inside, dtype=bool)
    there[1:-1] = True
    np.testing.assert_array_equal(larger[there], fa[there])
    assert (larger[~there] != 0).sum() == 2
    assert (read_map(dwi, "fibres", "status").get_fdata() != 255).sum() == 50
    assert "50" in dwi.cortax("results", "dwi", "--table", "residuals", "--where", "model=tensor").stdout


@pytest.mark.timeout(900)
def test_no_byte_depends_on_blocks_units_slices_or_back_ends(dwi, monkeypatch):
    first = digests(dwi, "residuals", "maps")
    fits = {}
    # Code that reads volumes is edited once: then no block of before stays.
    edit_code(dwi, "volumes", 0)
    ways = ((1 << 15, {"AX_SLICES": "1"}), (2, {"AX_SLICES": "5"}), (11, {"CORTAX_BACKEND": "loky"}))
    for place, (voxels, environment) in enumerate(ways):
        dwi.cortax("down", "--force")
        with monkeypatch.context() as changed:
            for name, value in environment.items():
                changed.setenv(name, value)
            edit_code(dwi, "fitting", place)
            dwi.write("studies/dwi.toml", STUDY.replace("voxels_per_unit = 7", f"voxels_per_unit = {voxels}") + NO_PAGE)
            dwi.cortax("build", "dwi")
            assert of_models("fit") <= dwi.build_log()["ran"].keys()
            found = digests(dwi, "residuals", "maps")
            assert found == {name: first[name] for name in found}
            assert found.keys() == of_models("residuals", "maps")
            fits = fits or digests(dwi, "fit")
            assert digests(dwi, "fit") == fits
            dwi.cortax("down", "--force")


def test_a_killed_build_goes_on_where_it_was(dwi):
    first = digests(dwi, "fit", "residuals", "maps")
    dwi.write("studies/dwi.toml", STUDY.replace("voxels_per_unit = 7", "voxels_per_unit = 3") + NO_PAGE)
    path = dwi.root / "cortax/workloads/diffusion/fitting.py"
    slow = '        """Fit a run of voxels."""\n        import time\n        time.sleep(0.3)\n'
    path.write_text(path.read_text().replace('        """Fit a run of voxels."""\n', slow))
    building = dwi.start_build("dwi")
    dwi.wait_for(lambda: dwi.n_kept() >= 3)
    dwi.kill(building)
    dwi.wait_for(lambda: dwi.cortax("build", "dwi", check=False).returncode == 0)
    assert digests(dwi, "fit", "residuals", "maps") == first
    dwi.assert_resumed(*of_models("fit"))


def test_a_volume_that_is_cut_short_stops_no_other(dwi):
    one, two = dwi.root / "input/dwi/sub-01", dwi.root / "input/dwi/sub-02"
    shutil.copytree(one, two)
    for path in list((two / "ses-1/dwi").iterdir()):
        path.rename(path.with_name(path.name.replace("sub-01", "sub-02")))
    path = two / "ses-1/dwi/sub-02_ses-1_dwi.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    settle(dwi.root)
    others = "[models.water]" + STUDY.partition("[models.water]")[2].partition("[grid]")[0]
    tensors = STUDY.replace(others, "") + NO_PAGE
    dwi.write("studies/dwi.toml", tensors)
    done = dwi.cortax("build", "dwi", check=False)
    assert done.returncode == 1
    assert "INCOMPLETE" in re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert "sub-02_ses-1_dwi.nii.gz: not a readable NIfTI file" in dwi.cortax("errors", "dwi").stdout.replace("\n", "")
    n_inside = (nib.load(dwi.root / MASK).get_fdata() > 0).sum()
    assert pd.read_parquet(dwi.job("maps/tensor/sub-01_ses-1") / "maps.parquet")["n_voxels"].eq(n_inside - 1).all()
    path.write_bytes(whole)
    settle(dwi.root)
    assert rebuild(dwi, tensors) == {
        f"{step}/sub-02_ses-1" for step in ("volume", "fit/tensor", "residuals/tensor", "maps/tensor")
    }
