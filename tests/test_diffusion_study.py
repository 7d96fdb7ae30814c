"""Study files of diffusion: what they may say, which jobs come of them, and what is told before anything runs."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from cortax.errors import CortaxError, InputError, StudyError
from cortax.provenance.files import file_digest
from cortax.workflow.plan.identity import Identity
from cortax.workflow.workload import Planning, read_study
from cortax.workloads.diffusion.check import check_diffusion
from cortax.workloads.diffusion.finding import find_volumes
from cortax.workloads.diffusion.names import file_stem
from cortax.workloads.diffusion.plan import diffusion_jobs
from cortax.workloads.diffusion.simulate import VolumeShape, simulate_volume
from cortax.workloads.diffusion.volumes import save_volume
from cortax.workloads.diffusion.voxels import decode_voxels

PLACE = "{participant_id}/{session}/dwi/{participant_id}_{session}"
STUDY = f"""
kind = "diffusion"
name = "dwi"
title = "One person, two sessions"

[volumes]
root = "data"
dwi = "{PLACE}_dwi.nii.gz"
bval = "{PLACE}_dwi.bval"
bvec = "{PLACE}_dwi.bvec"
mask = "{PLACE}_desc-brain_mask.nii.gz"

[models.tensor]
kind = "dti"

[models.fibres]
kind = "csd"
sh_order = 4
shell = 2000

[models.given]
kind = "csd"
sh_order = 4
shell = 2000
response = [1.7e-3, 3e-4, 4000.0]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dwi")
    simulate_volume(folder / "data", VolumeShape((5, 4, 3), 2, ((1000.0, 9), (2000.0, 20))))
    second = folder / "data/sub-01/ses-2/dwi"
    second.mkdir(parents=True)
    for path in (folder / "data/sub-01/ses-1/dwi").iterdir():
        shutil.copy(path, second / path.name.replace("ses-1", "ses-2"))
    return folder


@pytest.fixture
def root(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def study_of(root, old="", new=""):
    assert old in STUDY
    path = root / "dwi.toml"
    path.write_text(STUDY.replace(old, new, 1) if old else STUDY)
    return read_study(path)


def jobs_of(root, *change, past=None):
    return {job.name: job for job in diffusion_jobs(study_of(root, *change), Planning(root, file_digest, past))}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "dti"', 'kind = "dit"', r"models\.tensor\.kind"),
        ('kind = "dti"', 'kind = "dti"\nmethod = "nls"', r"must be one of \['wls', 'ols'\] of dti"),
        ('kind = "dti"', 'kind = "dti"\nsh_order = 4', "sh_order is of kind 'csd'"),
        ('kind = "dti"', 'kind = "dipy"', "name is missing, such as 'dki.DiffusionKurtosisModel'"),
        ("sh_order = 4", "sh_order = 5", "must be even"),
        ("sh_order = 4", "shorder = 4", "did you mean 'sh_order'"),
        ("[1.7e-3, 3e-4, 4000.0]", "[0.0, 0.0, 0.0]", r"models\.given\.response.*greater than 0"),
        ("[1.7e-3, 3e-4, 4000.0]", "[inf, 3e-4, 4000.0]", r"models\.given\.response.*finite number"),
        ("[1.7e-3, 3e-4, 4000.0]", "[3e-4, 1.7e-3, 4000.0]", "the smaller one across"),
        ("[models.given]", "[models.fib-res]", "names must differ in letters or digits"),
        (f'dwi = "{PLACE}', 'dwi = "all', r"must have \{participant_id\}"),
        (f'dwi = "{PLACE}', 'dwi = "{participant_id}/ses-1/dwi/{participant_id}', r"must have \{session\}"),
        ('root = "data"', 'root = "data"\nsubjects = []', "at least one pattern"),
        ("[models.given]", '[maps]\nnames = ["fo"]\n[models.given]', "names: nothing matches: got 'fo'"),
        ("[models.given]", "[grid]\nvoxels_per_unit = 0\n[models.given]", r"grid\.voxels_per_unit"),
    ],
)
def test_what_makes_no_sense_is_refused(root, old, new, message):
    with pytest.raises(StudyError, match=message):
        study_of(root, old, new)


def test_a_volume_is_read_once_and_maps_come_last(root):
    jobs = jobs_of(root)
    of_models = {
        "tensor": ("fit", "residuals", "maps"),
        "fibres": ("response", "fit", "residuals", "maps"),
        "given": ("fit", "residuals", "maps"),
    }
    steps = ["volume", *(f"{step}/{model}" for model, each in of_models.items() for step in each)]
    names = [f"{step}/sub-01_ses-{session}" for session in (1, 2) for step in steps]
    assert list(jobs) == [*names, "report"]
    assert jobs["fit/fibres/sub-01_ses-2"].jobs == {
        "volume": "volume/sub-01_ses-2",
        "response": "response/fibres/sub-01_ses-2",
    }
    assert jobs["fit/given/sub-01_ses-1"].options["response"] == [1.7e-3, 3e-4, 4000.0]
    assert jobs["fit/given/sub-01_ses-1"].work.n_units == 1
    maps = jobs["maps/tensor/sub-01_ses-1"]
    assert "sub-01_ses-1_model-tensor_param-fa_dwimap.nii.gz" in maps.links
    assert "sub-01_ses-1_model-tensor_param-status_dwimap.json" in maps.links
    assert maps.folder == ("sub-01", "ses-1", "dwi")
    assert dict(maps.key) == {"model": "tensor", "volume": "sub-01_ses-1"}
    links = [link for job in jobs.values() for link in job.links]
    assert len(links) == len(set(links))


def changed(before, after):
    return {name.partition("/")[0] for name, job in after.items() if job != before.get(name)}


def test_another_map_changes_maps_and_another_model_changes_nothing_that_is_there(root):
    first = jobs_of(root)
    assert changed(first, jobs_of(root, "[models.given]", '[maps]\nnames = ["fa"]\n[models.given]')) == {"maps"}
    more = jobs_of(root, "[models.given]", '[models.ols]\nkind = "dti"\nmethod = "ols"\n[models.given]')
    assert all(more[name] == first[name] for name in first if name != "report")
    assert changed(first, jobs_of(root, "[volumes]", "[volumes]\nb0_threshold = 10")) == {"volume"}


def test_subjects_are_chosen_for_the_study_or_for_a_model(root):
    shutil.copytree(root / "data/sub-01", root / "data/sub-02")
    for path in list((root / "data/sub-02").rglob("*_*")):
        path.rename(path.with_name(path.name.replace("sub-01", "sub-02")))
    jobs = jobs_of(root, 'kind = "dti"', 'kind = "dti"\nsubjects = ["sub-02"]')
    assert {name for name in jobs if name.startswith("fit/tensor")} == {f"fit/tensor/sub-02_ses-{n}" for n in (1, 2)}
    assert len([name for name in jobs if name.startswith("fit/given")]) == 4
    assert len(jobs_of(root, 'root = "data"', 'root = "data"\nsubjects = ["*-01"]')) == 23
    with pytest.raises(StudyError, match=r"models\.tensor\.subjects: nothing matches: got 'x'"):
        jobs_of(root, 'kind = "dti"', 'kind = "dti"\nsubjects = ["x"]')
    with pytest.raises(InputError, match=r"volumes\.subjects: nothing matches: got '3'"):
        jobs_of(root, 'root = "data"', 'root = "data"\nsubjects = ["3"]')


class Past:
    """Finished jobs."""

    def __init__(self, jobs):
        self.jobs = jobs

    def finished(self, spec):
        return any(job.method == spec.method and job.options == spec.options for job in self.jobs.values())

    def reusable(self, method, study, key):
        found = [Identity(study, job.method, job.key) for job in self.jobs.values() if job.method == method]
        jobs = [job for job in self.jobs.values() if job.method == method]
        return [
            (dict(each.key), job.options)
            for each, job in zip(found, jobs, strict=True)
            if key.items() <= each.key.items()
        ]


def test_another_size_of_units_asks_for_no_fit_again(root):
    change = ("[models.given]", "[grid]\nvoxels_per_unit = 2\n[models.given]")
    first = jobs_of(root)
    assert changed(first, jobs_of(root, *change)) == {"fit"}
    assert changed(first, jobs_of(root, *change, past=Past(first))) == set()
    assert jobs_of(root, *change)["fit/given/sub-01_ses-1"].work.n_units == 18
    # What must be fitted anyway is cut as asked.
    other = ("[models.given]", "[grid]\nvoxels_per_unit = 2\n[models.given]\ntau = 0.2")
    again = jobs_of(root, *other, past=Past(first))
    assert again["fit/given/sub-01_ses-1"].options["voxels_per_unit"] == 2
    assert again["fit/fibres/sub-01_ses-1"] == first["fit/fibres/sub-01_ses-1"]
    (root / "data/sub-01/ses-1/dwi/sub-01_ses-1_dwi.bval").write_text(" ".join(["0"] * 2 + ["1000"] * 29))
    assert jobs_of(root, *change, past=Past(first))["fit/given/sub-01_ses-1"].options["voxels_per_unit"] == 2


def write_mask(root, inside):
    path = root / "data/sub-01/ses-1/dwi/sub-01_ses-1_desc-brain_mask.nii.gz"
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), nib.load(path).affine), path)


def test_a_larger_mask_fits_its_new_voxels_only(root):
    def size_of(jobs, name):
        return int(decode_voxels(jobs[name].options["voxels"]).sum())

    inside = np.zeros((5, 4, 3), dtype=bool)
    inside[1:4] = True
    first = jobs_of(root)
    assert size_of(first, "volume/sub-01_ses-1") == 36
    # A mask that is written anew, with the same voxels.
    write_mask(root, inside * 7)
    assert jobs_of(root, past=Past(first)) == first
    inside[4, 1:3] = True
    write_mask(root, inside)
    larger = jobs_of(root, past=Past(first))
    of_first = ("volume", "fit/tensor", "fit/fibres", "fit/given")
    assert larger.keys() - first.keys() == {f"{step}/sub-01_ses-1/block-2" for step in of_first}
    assert size_of(larger, "volume/sub-01_ses-1/block-2") == 6
    assert larger["fit/tensor/sub-01_ses-1/block-2"].jobs == {"volume": "volume/sub-01_ses-1/block-2"}
    changes = {f"{step}/{model}" for step in ("residuals", "maps") for model in ("tensor", "fibres", "given")}
    assert {name for name in first if larger[name] != first[name]} == {
        *(f"{name}/sub-01_ses-1" for name in (*changes, "response/fibres")),
        "report",
    }
    assert larger["maps/given/sub-01_ses-1"].jobs == {
        "volume": ["volume/sub-01_ses-1", "volume/sub-01_ses-1/block-2"],
        "fit": ["fit/given/sub-01_ses-1", "fit/given/sub-01_ses-1/block-2"],
    }
    # The same again, and units of another size, run nothing; a block that is not wanted as a whole is read anew.
    assert jobs_of(root, past=Past({**first, **larger})) == larger
    units = ("[models.given]", "[grid]\nvoxels_per_unit = 2\n[models.given]")
    assert jobs_of(root, *units, past=Past({**first, **larger})) == larger
    inside[1] = False
    write_mask(root, inside)
    smaller = jobs_of(root, past=Past({**first, **larger}))
    assert smaller["volume/sub-01_ses-1/block-2"] == larger["volume/sub-01_ses-1/block-2"]
    assert size_of(smaller, "volume/sub-01_ses-1") == 24
    # Of another volume, or one that is read in another way, nothing is known.
    write_mask(root, np.ones((5, 4, 3)))
    assert size_of(jobs_of(root, past=Past({**first, **larger})), "volume/sub-01_ses-1/block-3") == 18
    other = jobs_of(root, "[volumes]", "[volumes]\nb0_threshold = 10", past=Past({**first, **larger}))
    assert size_of(other, "volume/sub-01_ses-1") == 60


def test_a_mask_that_cannot_be_read_is_left_to_its_job(root):
    path = root / "data/sub-01/ses-1/dwi/sub-01_ses-1_desc-brain_mask.nii.gz"
    path.write_bytes(path.read_bytes()[:40])
    options = jobs_of(root)["volume/sub-01_ses-1"].options
    assert options["voxels"] is None
    with pytest.raises(InputError, match=r"mask\.nii\.gz: not a readable NIfTI file"):
        save_volume(root, root, options)


def test_files_that_are_missing_or_double_are_named(root):
    path = root / "data/sub-01/ses-2/dwi/sub-01_ses-2_dwi.bvec"
    path.rename(path.with_name("other"))
    with pytest.raises(
        InputError, match=r"sub-01_ses-2_dwi\.bvec: missing file, volumes\.bvec of subject 'sub-01', ses"
    ):
        jobs_of(root)
    with pytest.raises(InputError, match=r"volumes\.root = 'dat': no such folder"):
        jobs_of(root, 'root = "data"', 'root = "dat"')
    with pytest.raises(InputError, match=r"no file fits the pattern .* of map 'dwi'"):
        jobs_of(root, "_dwi.nii.gz", "_dwi.nii")


def test_sessions_and_runs_sort_as_numbers(root):
    shutil.copytree(root / "data/sub-01/ses-2", root / "data/sub-01/ses-10")
    for file in list((root / "data/sub-01/ses-10/dwi").iterdir()):
        file.rename(file.with_name(file.name.replace("ses-2", "ses-10")))
    volumes = find_volumes(study_of(root).volumes, root)
    assert [volume.name for volume in volumes] == [f"sub-01_ses-{n}" for n in (1, 2, 10)]
    assert file_stem(volumes[2].scan, "free-water") == "sub-01_ses-10_model-freewater"


def test_a_check_looks_at_every_gradient_and_a_bad_volume_stops_no_other(root):
    check_diffusion(study_of(root), root)
    with pytest.raises(
        StudyError, match=r"study 'dwi': models\.fibres, sub-01_ses-1: sh_order = 6 has 28 coefficients"
    ):
        check_diffusion(study_of(root, "sh_order = 4", "sh_order = 6"), root)
    first, second = (root / f"data/sub-01/ses-{n}/dwi/sub-01_ses-{n}_dwi.nii.gz" for n in (1, 2))
    first.write_bytes(first.read_bytes()[:30])
    check_diffusion(study_of(root), root)
    assert "volume/sub-01_ses-1" in jobs_of(root)
    second.write_bytes(b"no image")
    with pytest.raises(CortaxError, match=r"ses-1_dwi\.nii\.gz: "):
        check_diffusion(study_of(root), root)


def test_free_water_of_one_shell_is_refused(root):
    for session in (1, 2):
        path = root / f"data/sub-01/ses-{session}/dwi/sub-01_ses-{session}_dwi.bval"
        path.write_text(" ".join(["0"] * 2 + ["1000"] * 29))
    study = study_of(root, 'kind = "dti"', 'kind = "fwdti"')
    with pytest.raises(StudyError, match=r"models\.tensor, .*at least two shells besides b0.*found b = 1000"):
        check_diffusion(study, root)


def test_a_simulated_volume_is_the_same_each_time(root, tmp_path):
    other = tmp_path / "other"
    simulate_volume(other, VolumeShape((5, 4, 3), 2, ((1000.0, 9), (2000.0, 20))))
    for path in (other / "sub-01/ses-1/dwi").iterdir():
        assert path.read_bytes() == (root / "data/sub-01/ses-1/dwi" / path.name).read_bytes()
    assert len(list((other / "sub-01/ses-1/dwi").iterdir())) == 6
    assert np.loadtxt(other / "sub-01/ses-1/dwi/sub-01_ses-1_dwi.bvec").shape == (3, 31)
