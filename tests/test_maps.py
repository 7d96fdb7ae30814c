"""Finding and loading a cohort: who is kept, in which order, why others are not, and in how much memory."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.brain.data.maps import FEWEST, find_maps, inventory, load_maps, open_maps, space_of
from cortax.brain.data.spaces import SPACES, Space, volume_space
from cortax.errors import InputError, ProjectError
from cortax.provenance.files import text_digest

SPACE = Space("tiny", "surface", n_left=6, n_right=5)
PATTERNS = {
    "thickness": "sub-{participant_id}/anat/sub-{participant_id}_hemi-{hemi}_thickness.npy",
    "curv": "sub-{participant_id}/surf/{hemi_fs}.curv.npy",
}


def write(root: Path, subject: str, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    values = scale * np.random.default_rng(seed).normal(size=(2, 11)).astype(np.float32)
    folder = root / f"sub-{subject}"
    for name in ("anat", "surf"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for part, hemi, fs in ((slice(0, 6), "L", "lh"), (slice(6, 11), "R", "rh")):
        np.save(folder / "surf" / f"{fs}.curv.npy", values[0, part])
        np.save(folder / "anat" / f"sub-{subject}_hemi-{hemi}_thickness.npy", values[1, part])
    return values


@pytest.fixture
def cohort(tmp_path):
    root = tmp_path / "in"
    expected = {name: write(root, name, seed) for seed, name in enumerate(["10", "002", "3"])}
    (tmp_path / "out").mkdir()
    return root, tmp_path / "out", expected


def load(root, out, **options):
    return load_maps(find_maps(root, PATTERNS), out, space=SPACE, **options)


def test_maps_come_back_as_they_were_written(cohort):
    root, out, expected = cohort
    loaded = load(root, out)
    maps = open_maps(out)
    assert loaded.subjects == maps.subjects == ("002", "10", "3")
    assert loaded.maps == maps.maps == ("curv", "thickness")
    assert maps.space == SPACE
    for row, name in zip(maps.values, maps.subjects, strict=True):
        np.testing.assert_array_equal(row, expected[name])
    with pytest.raises(ValueError, match="read-only"):
        maps.values[0] = 0
    assert (out / "dropped.csv").read_text() == "participant_id,reason,file\n"
    assert loaded.n_missing == {"curv": 0, "thickness": 0}


def test_output_is_what_numpy_writes_and_the_same_every_time(cohort, tmp_path):
    root, out, _ = cohort
    (root / "sub-10/surf/lh.curv.npy").write_bytes(b"")
    loaded = load(root, out)
    assert text_digest((out / "inventory.txt").read_text()) == loaded.inventory_digest
    names = ("maps.npy", "maps.json", "dropped.csv", "inventory.txt")
    first = [(out / name).read_bytes() for name in names]
    np.save(tmp_path / "numpy.npy", np.load(out / "maps.npy"))
    assert (tmp_path / "numpy.npy").read_bytes() == first[0]
    load_maps(find_maps(root, dict(reversed(PATTERNS.items()))), out, space=SPACE)
    assert [(out / name).read_bytes() for name in names] == first
    assert sorted(p.name for p in out.iterdir()) == sorted(names)


def test_incomplete_subjects_are_listed(cohort):
    root, out, _ = cohort
    (root / "sub-10/surf/rh.curv.npy").unlink()
    files = find_maps(root, PATTERNS)
    assert files.subjects == ("002", "3")
    (gone,) = load(root, out).dropped
    assert (gone.participant_id, gone.reason) == ("10", "missing file: sub-10/surf/rh.curv.npy")
    with (out / "dropped.csv").open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["sub-10/surf/rh.curv.npy"]


@pytest.mark.parametrize("content", [b"", b"not an image", "half"])
def test_damaged_file_drops_its_subject_only(cohort, content):
    root, out, expected = cohort
    path = root / "sub-002/anat/sub-002_hemi-R_thickness.npy"
    path.write_bytes(path.read_bytes()[:-7] if content == "half" else content)
    (drop,) = load(root, out).dropped
    assert drop.participant_id == "002"
    assert drop.file == "sub-002/anat/sub-002_hemi-R_thickness.npy"
    np.testing.assert_array_equal(open_maps(out).values, [expected["10"], expected["3"]])
    with pytest.raises(InputError, match=r"sub-002_hemi-R_thickness\.npy"):
        load(root, out, damaged="error")


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("max_missing", [0, 0.5])
def test_infinite_values_are_damage(cohort, bad, max_missing):
    root, out, _ = cohort
    path = root / "sub-3/surf/lh.curv.npy"
    values = np.load(path)
    values[2] = bad
    np.save(path, values)
    (drop,) = load(root, out, max_missing=max_missing).dropped
    assert (drop.participant_id, drop.file) == ("3", "sub-3/surf/lh.curv.npy")
    with pytest.raises(InputError, match=r"sub-3/surf/lh\.curv\.npy: map 'curv': 1 of 11 values are infinite"):
        load(root, out, max_missing=0.5, damaged="error")


def test_missing_locations(cohort):
    root, out, expected = cohort
    path = root / "sub-3/surf/lh.curv.npy"
    values = np.load(path)
    values[:2] = np.nan
    np.save(path, values)
    (drop,) = load(root, out, max_missing=1.9 / 11).dropped
    assert (drop.participant_id, drop.file) == ("3", "sub-3/surf/lh.curv.npy")
    assert "map 'curv': 2 of 11 locations are missing" in drop.reason
    loaded = load(root, out, max_missing=2 / 11)
    assert loaded.n_missing == {"curv": 2, "thickness": 0}
    kept = open_maps(out).values[2]
    assert np.isnan(kept[0, :2]).all()
    np.testing.assert_array_equal(kept.ravel()[2:], expected["3"].ravel()[2:])


@given(
    scales=st.lists(st.sampled_from([1.0, 1.1, 1.2, 40.0]), min_size=3, max_size=20),
    outlier_sd=st.sampled_from([1.0, 2.0, 10.0]),
)
@settings(max_examples=25, deadline=None)
def test_outliers_are_those_of_the_obvious_formula(tmp_path_factory, scales, outlier_sd):
    root = tmp_path_factory.mktemp("cohort")
    values = np.array([write(root, f"{i:02d}", i, scale) for i, scale in enumerate(scales)])
    spreads = values.astype(np.float64).std(axis=2)
    away = np.abs(spreads - np.median(spreads, axis=0))
    far = away > outlier_sd * 1.4826 * np.median(away, axis=0)
    expected = [f"{i:02d}" for i in np.flatnonzero(far.any(axis=1))] if len(scales) >= FEWEST else []
    (root / "out").mkdir()
    loaded = load(root, root / "out", outlier_sd=outlier_sd)
    assert [d.participant_id for d in loaded.dropped] == expected
    assert all("SD (robust) from the median" in d.reason for d in loaded.dropped)
    kept = [i for i in range(len(scales)) if f"{i:02d}" not in expected]
    np.testing.assert_array_equal(open_maps(root / "out").values, values[kept])
    assert bool(loaded.notes) == (len(scales) < FEWEST)


@pytest.mark.parametrize("n", [FEWEST + 4, 25, 60])
@pytest.mark.parametrize(("n_wild", "alike"), [(1, False), (3, False), (1, True)])
def test_the_guard_against_outliers_fires_whatever_the_number_of_subjects(tmp_path, n, n_wild, alike):
    """10 SD of the mean can be reached by nobody among fewer than 102; several wild maps hide each other."""
    for i in range(n):
        write(tmp_path, f"{i:02d}", 0 if alike else i, 1e6 * (i + 1) if i < n_wild else 1.0)
    (tmp_path / "out").mkdir()
    dropped = load(tmp_path, tmp_path / "out", outlier_sd=10).dropped
    assert [d.participant_id for d in dropped][:n_wild] == [f"{i:02d}" for i in range(n_wild)]


def test_other_number_of_vertices(cohort):
    root, out, _ = cohort
    np.save(root / "sub-3/surf/rh.curv.npy", np.ones(10242, np.float32))
    with pytest.raises(
        InputError, match=r"sub-3/surf/rh\.curv\.npy: 5 values .*right hemisphere of 'tiny', found 10242"
    ):
        load(root, out)
    with pytest.raises(InputError, match="as many as in 'fsaverage5'"):
        load(root, out)
    with pytest.raises(InputError, match="one file a hemisphere needs a surface space"):
        load_maps(find_maps(root, PATTERNS), out, space=volume_space((11, 1, 1), np.eye(4)))


def test_swapped_hemispheres(tmp_path):
    for side, content in (("L", "CortexRight"), ("R", "CortexLeft")):
        meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": content})
        array = nib.gifti.GiftiDataArray(np.ones(6, np.float32), intent="NIFTI_INTENT_SHAPE")
        nib.save(nib.GiftiImage(darrays=[array], meta=meta), tmp_path / f"1_{side}.func.gii")
    files = find_maps(tmp_path, {"m": "{participant_id}_{hemi}.func.gii"})
    with pytest.raises(InputError, match=r"1_L\.func\.gii: named as the left hemisphere, but holds the right one"):
        load_maps(files, tmp_path, space=SPACE)


def test_everyone_dropped_says_why(cohort):
    root, out, _ = cohort
    for path in root.glob("*/surf/lh.curv.npy"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"every subject was dropped: 3 x 'empty file'; the first: subject '002'"):
        load(root, out)
    assert not (out / "maps.json").exists()


def test_bad_options(cohort):
    root, out, _ = cohort
    with pytest.raises(InputError, match=r"damaged: got 'dorp'.*did you mean 'drop'"):
        load(root, out, damaged="dorp")
    with pytest.raises(InputError, match="max_missing must be between 0 and 1, got 5"):
        load(root, out, max_missing=5)


def test_volumes_and_cifti(tmp_path):
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    nib.save(nib.Nifti1Image(data, grid), tmp_path / "1.nii.gz")
    files = find_maps(tmp_path, {"t1": "{participant_id}.nii.gz"})
    load_maps(files, tmp_path, space=volume_space((2, 3, 4), grid))
    np.testing.assert_array_equal(open_maps(tmp_path).values[0, 0], data.ravel())
    assert open_maps(tmp_path).space.matches(volume_space((2, 3, 4), grid))
    with pytest.raises(InputError, match=r"1\.nii\.gz: the maps' space is volume \(shape \(2, 3, 4\), affine \[1 0"):
        load_maps(files, tmp_path, space=volume_space((2, 3, 4), np.eye(4)))
    mask = np.array([1, 1, 0, 1, 1, 1], bool)
    axis = nib.cifti2.BrainModelAxis.from_mask(mask, "CortexLeft")
    axis += nib.cifti2.BrainModelAxis.from_mask(mask[:5], "CortexRight")
    for name in ("a", "b"):
        image = nib.Cifti2Image(
            np.arange(18, dtype=np.float32).reshape(2, 9), (nib.cifti2.ScalarAxis(["x", "y"]), axis)
        )
        image.to_filename(tmp_path / f"{name}.dscalar.nii")
    files = find_maps(tmp_path, {"y": "{participant_id}.dscalar.nii#y", "x": "{participant_id}.dscalar.nii#x"})
    # The medial wall is not missing data.
    assert load_maps(files, tmp_path, space=SPACE, max_missing=0).subjects == ("a", "b")
    n = np.nan
    expected = [[0, 1, n, 2, 3, 4, 5, 6, n, 7, 8], [9, 10, n, 11, 12, 13, 14, 15, n, 16, 17]]
    np.testing.assert_array_equal(open_maps(tmp_path).values, [expected, expected])


# --- finding


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def test_wildcards_and_literal_brackets(tmp_path):
    touch(tmp_path, "[v1]/sub-A_B/ses-1/sub-A_B_ses-1_x.npy", "[v1]/sub-A_B/ses-1/sub-C_ses-1_x.npy", "v/sub-D_x.npy")
    files = find_maps(tmp_path, {"x": "[v1]/sub-{participant_id}/*/sub-{participant_id}_*_x.npy"})
    assert files.subjects == ("A_B",)
    assert files.paths == ((("[v1]/sub-A_B/ses-1/sub-A_B_ses-1_x.npy",),),)


def test_two_files_for_one_place(tmp_path):
    touch(tmp_path, "a/ses-1/lh.x", "a/ses-1/rh.x", "a/ses-2/lh.x")
    with pytest.raises(
        InputError, match=r"two files for subject 'a', map 'x', hemisphere L: 'a/ses-1/lh.x' and 'a/ses-2"
    ):
        find_maps(tmp_path, {"x": "{participant_id}/ses-*/{hemi_fs}.x"})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "sub-{participant_id}/nothing.npy",
            r"no file fits the pattern 'sub-{participant_id}/nothing.npy' of map 'x'",
        ),
        ("{participant}.npy", "got 'participant', must be one of.*did you mean 'participant_id'"),
        ("{participant_id}_{hemi_sf}.npy", "did you mean 'hemi_fs'"),
        ("all.npy", "must hold {participant_id}"),
        ("**/{participant_id}.npy", "without '\\*\\*'"),
        ("/data/{participant_id}.npy", "relative to the root"),
        ("sub-{participant_id}*.npy", "text must separate"),
    ],
)
def test_patterns_that_cannot_work(tmp_path, pattern, message):
    touch(tmp_path, "sub-1/a.npy")
    with pytest.raises(InputError, match=message):
        find_maps(tmp_path, {"x": pattern})


def test_no_root_no_pattern_no_complete_subject(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder of maps"):
        find_maps(tmp_path / "nowhere", PATTERNS)
    with pytest.raises(InputError, match="no pattern of maps given"):
        find_maps(tmp_path, {})
    touch(tmp_path, "1_L.npy", "2_R.npy")
    with pytest.raises(InputError, match=r"none of 2 subjects has all files; the first: missing file: 1_R\.npy"):
        find_maps(tmp_path, {"x": "{participant_id}_{hemi}.npy"})


def test_nobody_reads_what_nobody_asked_for(cohort):
    """A pilot of another mesh, with two files of one map, is in no table."""
    root, out, _ = cohort
    write(root, "pilot")
    np.save(root / "sub-pilot/surf/lh.curv.npy", np.ones(10242, np.float32))
    (root / "sub-pilot/x").mkdir()
    np.save(root / "sub-pilot/x/lh.curv.npy", np.ones(3))
    patterns = {**PATTERNS, "curv": "sub-{participant_id}/*/{hemi_fs}.curv.npy"}
    with pytest.raises(InputError, match="two files for subject 'pilot'"):
        find_maps(root, patterns)
    files = find_maps(root, patterns, leave_out=lambda subject: subject == "pilot")
    assert files.subjects == ("002", "10", "3")
    assert "pilot" not in inventory(files)[0]
    (left_out,) = load_maps(files, out, space=SPACE, inventory_digest=inventory(files)[1]).dropped
    assert (left_out.participant_id, left_out.reason) == ("pilot", "in no phenotype table")
    # Ids that are written otherwise are for others to tell
    (root / "sub-pilot/x/lh.curv.npy").unlink()
    assert len(find_maps(root, patterns, leave_out=lambda subject: True).subjects) == 4


@pytest.mark.parametrize("first", [True, False])
def test_links_that_lead_nowhere_drop_their_subject(tmp_path, first):
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    for name in ("a", "b", "c"):
        nib.save(nib.Nifti1Image(np.ones((2, 3, 4), np.float32), grid), tmp_path / f"{name}.nii.gz")
    gone = tmp_path / ("a.nii.gz" if first else "c.nii.gz")
    gone.unlink()
    gone.symlink_to(".git/annex/objects/xx/MD5E-s123--abc.nii.gz")
    files = find_maps(tmp_path, {"t1": "{participant_id}.nii.gz"})
    text, digest = inventory(files)
    assert f"gone {gone.name}\n" in text
    loaded = load_maps(files, tmp_path, space=space_of(files, "volume"), inventory_digest=digest)
    (drop,) = loaded.dropped
    assert drop.participant_id == gone.name[0]
    assert drop.reason.startswith("a link that leads nowhere")
    with pytest.raises(InputError, match="a link that leads nowhere"):
        load_maps(files, tmp_path, space=space_of(files, "volume"), damaged="error")


# --- the inventory


def test_inventory_is_the_files_content(cohort):
    root, out, _ = cohort
    files = find_maps(root, PATTERNS)
    text, digest = inventory(files)
    assert len(text.splitlines()) == 12
    assert text == "".join(sorted(text.splitlines(keepends=True)))
    assert load(root, out, inventory_digest=digest).inventory_digest == digest
    assert inventory(files, lambda path: "0" * 64)[1] != digest
    (root / "sub-3/surf/lh.curv.npy").write_bytes(b"")
    with pytest.raises(InputError, match="a file changed since the build listed the maps"):
        load(root, out, inventory_digest=digest)
    (root / "sub-3/surf/lh.curv.npy").unlink()
    with pytest.raises(InputError, match="a file changed"):
        load_maps(files, out, space=SPACE, inventory_digest=digest)
    assert "missing sub-3/surf/lh.curv.npy" in inventory(find_maps(root, PATTERNS))[0]


def test_progress_is_told(cohort):
    root, out, _ = cohort
    calls = []
    load(root, out, progress=lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_damaged_results_are_not_opened(cohort):
    root, out, _ = cohort
    with pytest.raises(ProjectError, match=r"maps\.json: missing or damaged"):
        open_maps(out)
    load(root, out)
    fields = json.loads((out / "maps.json").read_text())
    (out / "maps.json").write_text(json.dumps({**fields, "subjects": ["a"]}))
    with pytest.raises(InputError, match=r"float32 of shape \(1, 2, 11\) is needed, found float32 \(3, 2, 11\)"):
        open_maps(out)
    (out / "maps.npy").write_bytes(b"")
    with pytest.raises(ProjectError, match=r"maps\.npy: missing or damaged"):
        open_maps(out)


# --- memory

CHILD = """
import resource, sys
from pathlib import Path
from cortax.brain.data.maps import find_maps, load_maps
from cortax.brain.data.spaces import SPACES
root, out = map(Path, sys.argv[1:])
files = find_maps(root, {"thickness": "{participant_id}_{hemi}.npy"})
loaded = load_maps(files, out, space=SPACES["fsaverage5"], outlier_sd=10)
print(len(loaded.subjects), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_cohort(tmp_path):
    half = np.random.default_rng(0).normal(size=SPACES["fsaverage5"].n_left).astype(np.float32)
    np.save(tmp_path / "one.npy", half)
    peak = {}
    for n in (100, 1000):
        root = tmp_path / str(n)
        (root / "out").mkdir(parents=True)
        for i in range(n):
            for hemi in "LR":
                (root / f"{i:04d}_{hemi}.npy").hardlink_to(tmp_path / "one.npy")
        # The first subject is dropped, so that every row has to move.
        (root / "0000_L.npy").unlink()
        (root / "0000_L.npy").write_bytes(b"")
        command = [sys.executable, "-c", CHILD, str(root), str(root / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        n_kept, peak[n] = map(int, done.stdout.split())
        assert n_kept == n - 1
    # All maps of 1,000 subjects are 82 MB, about as much as the interpreter and its libraries.
    assert peak[1000] < 1.2 * peak[100]
