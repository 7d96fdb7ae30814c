"""From a volume to maps, tables and the page: the numbers are DIPY's, and the bytes those of any cut into units."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from dipy.reconst.dti import TensorModel as DipyTensors

from cortax.errors import ProjectError
from cortax.payload import open_payload, save_payload
from cortax.provenance import outputs
from cortax.provenance.files import file_digest
from cortax.report.page import MadeJob, StudyJobs, render
from cortax.store import save
from cortax.workloads.diffusion import mapping
from cortax.workloads.diffusion.fitting import FitTask
from cortax.workloads.diffusion.mapping import save_maps
from cortax.workloads.diffusion.models.fit import Status
from cortax.workloads.diffusion.models.response import Response
from cortax.workloads.diffusion.names import map_names
from cortax.workloads.diffusion.report import sections
from cortax.workloads.diffusion.residuals import residual_table, residual_tables
from cortax.workloads.diffusion.responding import estimate_response, open_response
from cortax.workloads.diffusion.simulate import VolumeShape, simulate_volume
from cortax.workloads.diffusion.store import fit_files, open_fit
from cortax.workloads.diffusion.volumes import open_volume, save_volume
from cortax.workloads.diffusion.voxels import encode_voxels

STEM = "sub-01/ses-1/dwi/sub-01_ses-1_"
FILES = {"dwi": f"{STEM}dwi.nii.gz", "bval": f"{STEM}dwi.bval", "bvec": f"{STEM}dwi.bvec"}
MASK = {"mask": f"{STEM}desc-brain_mask.nii.gz"}
DTI = {"kind": "dti", "solver": "cortax", "options": {"method": "wls"}, "response": None}
MAPS = {
    "maps": ["fa", "md", "v1", "color_fa", "sse"],
    "stem": "sub-01_ses-1_model-tensor",
    "sources": [FILES["dwi"]],
    "kind": "dti",
    "solver": "cortax",
    "options": {"method": "wls"},
}


def new_job(folder, method, options, key):
    """A job's folder, as the page reads it."""
    folder.mkdir()
    versions = {"python": "3.11.7 (x)", "accelerator": "1"}
    setup = {"method": method, "options": options, "starttime": 0.0, "versions": versions}
    save(folder, {"setup.json": setup, "post.json": {"exectime": {"total": 1.0}}})
    return MadeJob("/".join([method, *key.values()]), folder.name, folder, key)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A volume with three bad voxels, its fit, and its maps."""
    root = tmp_path_factory.mktemp("dwi")
    simulate_volume(root, VolumeShape((6, 4, 3), 2, ((1000.0, 12), (2000.0, 20))))
    path = root / FILES["dwi"]
    image = nib.load(path)
    values = image.get_fdata().astype(np.float32)
    values[2, 1, 1, 3], values[3, 1, 1, 30], values[4, 2, 2] = np.nan, np.inf, 0.0
    nib.save(nib.Nifti1Image(values, image.affine), path)
    files = FILES | MASK
    options = {"files": files, "b0_threshold": 50.0, "voxels": None}
    options["digests"] = {kind: file_digest(root / file) for kind, file in files.items()}
    volume_job = new_job(root / "main-1", "diffusion_volume", options, {"volume": "sub-01_ses-1"})
    volume, written = save_volume(volume_job.folder, root, options)
    outputs.record(volume_job.folder, written, method="diffusion_volume", name="volume")
    key = {"model": "tensor", "volume": "sub-01_ses-1"}
    fit_job = new_job(root / "main-2", "diffusion_fit", {}, key)
    task = task_of(root, 7)
    written = save(fit_job.folder, fit_files(task.read(all_values(task))))
    outputs.record(fit_job.folder, written, method="diffusion_fit", name="fit")
    maps_job = new_job(root / "main-3", "diffusion_maps", MAPS, key)
    written = save_maps(maps_job.folder, [volume_job.folder], [fit_job.folder], MAPS)
    outputs.record(maps_job.folder, written, method="diffusion_maps", name="maps")
    residuals_job = new_job(root / "main-4", "diffusion_residuals", {}, key)
    written = save(residuals_job.folder, residual_tables(jobs_of([volume_job], [fit_job]), DTI))
    outputs.record(residuals_job.folder, written, method="diffusion_residuals", name="residuals")
    return root, volume, (volume_job, fit_job, residuals_job, maps_job)


def jobs_of(volumes, fits):
    """Inputs of a method, as Exax hands them over."""
    return {
        slot: [SimpleNamespace(path=job.folder) for job in jobs] for slot, jobs in (("volume", volumes), ("fit", fits))
    } | {"response": None}


def task_of(root, voxels_per_unit, **changes):
    return FitTask(str(root / "main-1"), voxels_per_unit=voxels_per_unit, **DTI | changes)


def all_values(task):
    return {unit.keys[0]: task.do(number)[0] for number, unit in enumerate(task.units())}


def load_map(root, name):
    return nib.load(root / f"main-3/sub-01_ses-1_model-tensor_param-{name}_dwimap.nii.gz")


@pytest.mark.parametrize("voxels_per_unit", [1, 2, 5, 48, 1 << 15])
def test_the_bytes_of_a_fit_do_not_depend_on_its_units(made, voxels_per_unit):
    root, volume, _ = made
    task = task_of(root, voxels_per_unit)
    assert sum(unit.cost for unit in task.units()) == 48
    fit, first = task.read(all_values(task)), open_fit([root / "main-2"], volume.rows)
    for name in ("parameters", "sse", "iterations", "status"):
        assert getattr(fit, name).tobytes() == getattr(first, name).tobytes(), name


def test_a_payload_has_no_signals_and_a_worker_opens_the_same_volume(made, tmp_path):
    root, _, _ = made
    task = task_of(root, 5)
    save_payload(tmp_path, *task.pack())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1000
    other = FitTask.unpack(*open_payload(tmp_path))
    assert all_values(other) == all_values(task)
    with pytest.raises(ProjectError, match="voxels 5-10"):
        task.read({**all_values(task), "voxels 5-10": all_values(task)["voxels 0-5"]})


def test_maps_are_dipys_where_there_is_something_to_fit(made):
    root, volume, _ = made
    mask = nib.load(root / MASK["mask"]).get_fdata() > 0
    status = load_map(root, "status").get_fdata()
    assert (status[~mask] == 255).all()
    bad = {(2, 1, 1): Status.NOT_FINITE, (3, 1, 1): Status.NOT_FINITE, (4, 2, 2): Status.NO_B0}
    assert {place: Status(int(status[place])) for place in zip(*np.nonzero(mask & (status > 0)), strict=True)} == bad
    good = mask & (status == 0)
    fit = DipyTensors(volume.gradients.table()).fit(nib.load(root / FILES["dwi"]).get_fdata()[good])
    for name, expected in (("fa", fit.fa), ("md", fit.md)):
        values = load_map(root, name).get_fdata()
        np.testing.assert_allclose(values[good], expected, rtol=2e-7)
        assert np.isnan(values[mask & ~good]).all()
        assert (values[~mask] == 0).all()
    axes = load_map(root, "v1").get_fdata()[good]
    np.testing.assert_allclose(np.abs((axes * fit.evecs[:, :, 0]).sum(axis=1)), 1, atol=1e-6)
    assert load_map(root, "fa").header.get_data_dtype() == np.float32
    np.testing.assert_array_equal(load_map(root, "fa").affine, nib.load(root / FILES["dwi"]).affine)


def test_a_bad_voxel_changes_no_other(made, tmp_path):
    root, volume, _ = made
    fit = open_fit([root / "main-2"], volume.rows)
    good = np.flatnonzero(fit.status == 0)
    alone = task_of(root, 1).model.fit(np.concatenate([volume.read(v, v + 1) for v in good.tolist()]))
    assert alone.parameters.tobytes() == np.ascontiguousarray(fit.parameters[good]).tobytes()


def test_a_volume_in_blocks_has_the_same_maps_tables_and_response(made, tmp_path):
    root, volume, (whole, fit_job, residuals_job, _) = made
    inside = np.zeros(72, dtype=bool)
    inside[volume.voxels] = True
    # Blocks that lie among each other, the one with the first voxel last.
    chosen = np.random.default_rng(0).integers(0, 2, 72).astype(bool)
    chosen[volume.voxels[0]] = False
    blocks, fits = [], []
    for number, part in enumerate((inside & chosen, inside & ~chosen)):
        options = {**whole.setup["options"], "voxels": encode_voxels(part)}
        blocks.append(new_job(tmp_path / f"volume-{number}", "diffusion_volume", options, {}))
        save_volume(blocks[-1].folder, root, options)
        fits.append(new_job(tmp_path / f"fit-{number}", "diffusion_fit", {}, {}))
        task = FitTask(str(blocks[-1].folder), voxels_per_unit=5, **DTI)
        save(fits[-1].folder, fit_files(task.read(all_values(task))))
    folders = [job.folder for job in blocks]
    joined = open_volume(*folders)
    np.testing.assert_array_equal(joined.voxels, volume.voxels)
    np.testing.assert_array_equal(joined.read(3, 30), volume.read(3, 30))
    fit, other = open_fit([job.folder for job in fits], joined.rows), open_fit([fit_job.folder], volume.rows)
    for name in ("parameters", "sse", "iterations", "status"):
        assert getattr(fit, name).tobytes() == getattr(other, name).tobytes(), name
    for file, table in residual_tables(jobs_of(blocks, fits), DTI).items():
        pd.testing.assert_frame_equal(table, pd.read_parquet(residuals_job.folder / file), check_exact=True)
    for name in save_maps(tmp_path, folders, [job.folder for job in fits], MAPS):
        assert (tmp_path / name).read_bytes() == (root / "main-3" / name).read_bytes(), name
    asked = {"fa_threshold": 0.5, "shell": 2000.0, "where": "models.x, sub-01"}
    assert estimate_response(folders, **asked) == estimate_response([whole.folder], **asked)


def test_sidecars_say_what_files_are(made):
    root, _, _ = made
    sidecar = json.loads((root / "main-3/sub-01_ses-1_model-tensor_param-md_dwimap.json").read_text())
    assert sidecar["Units"] == "mm2/s"
    assert sidecar["Sources"] == [FILES["dwi"]]
    assert "bvec" in sidecar["OrientationReference"]
    levels = json.loads((root / "main-3/sub-01_ses-1_model-tensor_param-status_dwimap.json").read_text())["Levels"]
    assert levels["0"] == "fitted"
    assert levels["255"] == "outside the mask"


@pytest.mark.parametrize("n_together", [7, 1 << 15])
def test_the_same_maps_are_the_same_bytes(made, tmp_path, monkeypatch, n_together):
    root, _, _ = made
    monkeypatch.setattr(mapping, "_VOXELS", n_together)
    names = save_maps(tmp_path, [root / "main-1"], [root / "main-2"], MAPS)
    for name in names:
        assert (tmp_path / name).read_bytes() == (root / "main-3" / name).read_bytes(), name


def test_tables_count_every_voxel(made):
    root, volume, _ = made
    status = pd.read_parquet(root / "main-4/status.parquet")
    assert dict(zip(status["status"], status["n_voxels"], strict=True)) == {"fitted": 45, "not_finite": 2, "no_b0": 1}
    assert status["share"].sum() == pytest.approx(1)
    residuals = pd.read_parquet(root / "main-4/residuals.parquet")
    assert residuals["n_voxels"].eq(45).all()
    fit = open_fit([root / "main-2"], volume.rows)
    total = (residuals["rms"] ** 2 * residuals["n_voxels"]).sum()
    assert total == pytest.approx(np.nansum(fit.sse), rel=1e-9)
    maps = pd.read_parquet(root / "main-3/maps.parquet").set_index("map")
    fa = load_map(root, "fa").get_fdata()
    inside = load_map(root, "status").get_fdata() == 0
    assert maps.loc["fa", "mean"] == pytest.approx(fa[inside].mean(), rel=1e-6)
    assert list(maps.index) == ["fa", "md", "sse"]


def test_the_page_shows_slices_directions_distributions_and_residuals(made):
    _root, _, jobs = made
    study = StudyJobs("dwi", "One SIMULATED person", True, jobs)
    shown = [section for section in sections(study) if section is not None]
    assert [each.name for each in shown] == ["study", "maps", "directions", "distributions", "residuals", "work"]
    page = render("One SIMULATED person", simulated=True, sections=shown, study="dwi")
    for text in (
        "3 of 48 voxels could not be fitted",
        "1000: 12, 2000: 20",
        "Slices of fractional anisotropy by tensor",
        "slice 2: 14 lines",
        "Distribution of mean diffusivity by tensor; medians: sub-01_ses-1 ",
        "Residuals of tensor by gradient",
    ):
        assert text in page, text


def test_a_response_is_that_of_the_voxels_in_the_middle(made, tmp_path):
    root, _, _ = made
    found = estimate_response([root / "main-1"], fa_threshold=0.5, shell=2000.0, where="models.x, sub-01")
    save(tmp_path, {"response.json": found})
    response = open_response(tmp_path)
    # Truth: 1.7e-3 along, 0.3e-3 across, S0 = 4000, with some free water.
    assert 1.2e-3 < response.evals[0] < 2.2e-3
    assert response.evals[1] == response.evals[2] < 0.8e-3
    assert 3500 < response.s0 < 4500
    assert 0 < response.n_voxels < 45


@pytest.mark.parametrize(
    ("kind", "options", "n_maps"),
    [("fwdti", {"method": "nls"}, 11), ("csd", {"sh_order": 4, "tau": 0.1, "shell": 2000.0}, 6)],
)
def test_other_models_are_cut_and_mapped_in_the_same_way(made, tmp_path, kind, options, n_maps):
    root, volume, _ = made
    response = Response((1.7e-3, 0.3e-3, 0.3e-3), 4000.0) if kind == "csd" else None
    whole, cut = (task_of(root, n, kind=kind, options=options, response=response) for n in (48, 5))
    save_payload(tmp_path, *cut.pack())
    cut = FitTask.unpack(*open_payload(tmp_path))
    assert cut.response == response
    fit, other = whole.read(all_values(whole)), cut.read(all_values(cut))
    assert fit.parameters.tobytes() == other.parameters.tobytes()
    assert fit.status.tobytes() == other.status.tobytes()
    assert np.bincount(fit.status)[0] >= 40
    residuals = residual_table(whole.model, volume, fit)
    predicted = volume.gradients.bvals > 1500
    assert residuals["rms"].notna()[predicted].all()
    save(tmp_path, fit_files(fit))
    maps = map_names(kind)
    assert len(maps) == n_maps
    files = save_maps(tmp_path, [root / "main-1"], [tmp_path], {**MAPS, "kind": kind, "options": options, "maps": maps})
    assert len(files) == 2 * (n_maps + 1) + 1
