"""What is a region and what is not, and labels that could mean two things."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, LabelAxis

from cortax.brain.data.images import read_map
from cortax.brain.data.labels import is_background, read_labels
from cortax.brain.data.maps import find_maps, load_maps, open_maps
from cortax.brain.data.meshes import read_mesh
from cortax.brain.data.spaces import SPACES, Space, abstract_space
from cortax.brain.parcellation.spec_files import spec_files
from cortax.brain.parcellation.specs import atlas_from_spec
from cortax.errors import AtlasError, InputError

BACKGROUND = [
    *["", " ", "?", "???", "unknown", "Unknown ", "UNKNOWN", "background", "Background+FreeSurfer_Defined_Medial_Wall"],
    *[
        "medialwall",
        "Medial_wall",
        "Medial Wall",
        "MEDIAL.WALL",
        "FreeSurfer_Defined_Medial_Wall",
        "mwall",
        "BOLD_mwall",
    ],
    *["L_MEDIAL.WALL", "medial-wall-rh", "7Networks_LH_Medial_Wall", "ctx-lh-unknown", "ctx_rh_unknown", "lh.unknown"],
    *["unknown-lh", "unknown_R", "L_???", "R_???", "Left-Unknown", "Right Unknown", "None", "Unassigned", "unlabeled"],
    *["Unlabelled", "undefined", "Unclassified", "Clear Label", "NoLabel", "no_label", "hemi-L_unknown"],
]
REGIONS = [
    *["insula", "7Networks_1", "unknown_sulcus", "wall", "corpuscallosum", "L", "left", "lh", "R_L", "empty", "0", "1"],
    *["ctx-lh-insula", "Right-Cerebral-Cortex", "medial_orbitofrontal", "lateral wall", "Wallenberg", "nonesuch"],
    *["foreground", "undefined_gyrus", "mwallace", "abdominal_wall", "ROI_?1", "L_V1_ROI", "S_pericallosal"],
]


@pytest.mark.parametrize("name", BACKGROUND)
def test_names_of_nothing(name):
    assert is_background(name)


@pytest.mark.parametrize("name", REGIONS)
def test_names_of_regions(name):
    assert not is_background(name)


@given(
    name=st.sampled_from([*BACKGROUND[2:], *REGIONS]),
    before=st.sampled_from(["", "L_", "R_", "lh.", "rh-", "ctx-lh-", "Left-", "LH_"]),
    after=st.sampled_from(["", "_L", "-rh", ".R", "_left"]),
    change=st.sampled_from([str, str.upper, str.lower, str.title]),
)
def test_hemisphere_and_case_do_not_count(name, before, after, change):
    assert is_background(change(before + name + after)) == is_background(name)


# --- every format by the same rule


def annot(path: Path, labels, names, colours=None) -> None:
    table = np.zeros((len(names), 5), int)
    table[:, 0] = np.arange(len(names)) + 1 if colours is None else colours
    nib.freesurfer.write_annot(path, np.asarray(labels), table, names, fill_ctab=True)


def label_gii(path: Path, arrays, names, keys=None) -> None:
    table = nib.gifti.GiftiLabelTable()
    for key, name in zip(keys or range(len(names)), names, strict=True):
        label = nib.gifti.GiftiLabel(key, 1.0, 0.0, 0.0, 1.0)
        label.label = name
        table.labels.append(label)
    image = nib.GiftiImage(labeltable=table)
    for title, data in arrays:
        array = nib.gifti.GiftiDataArray(np.asarray(data, np.int32), intent="NIFTI_INTENT_LABEL", meta={"Name": title})
        image.add_gifti_data_array(array)
    nib.save(image, path)


def dlabel(path: Path, maps, names) -> None:
    brain = BrainModelAxis.from_mask(np.ones(642), "CIFTI_STRUCTURE_CORTEX_LEFT")
    brain += BrainModelAxis.from_mask(np.ones(642), "CIFTI_STRUCTURE_CORTEX_RIGHT")
    table = {key: (name, (1, 0, 0, 1)) for key, name in enumerate(names)}
    data = np.array([np.r_[row, row] for _, row in maps], np.float32)
    nib.Cifti2Image(data, (LabelAxis([title for title, _ in maps], [table] * len(maps)), brain)).to_filename(path)


LABELS = np.arange(642) % 4


@pytest.mark.parametrize("wall", ["BOLD_mwall", "L_???", "unknown-lh", "MEDIAL.WALL"])
@pytest.mark.parametrize("kind", ["annot", "label.gii", "dlabel.nii", "nii + names", "npy + names"])
def test_background_is_background_in_every_format(tmp_path, kind, wall):
    names, path = ["unknown", "a", wall, "b"], tmp_path / f"x.{kind.split()[0]}"
    if kind == "annot":
        annot(path, LABELS, names)
    elif kind == "label.gii":
        label_gii(path, [("x", LABELS)], names)
    elif kind == "dlabel.nii":
        dlabel(path, [("x", LABELS)], names)
    if "names" in kind:
        (tmp_path / "names.tsv").write_text("index\tname\n" + "".join(f"{i}\t{n}\n" for i, n in enumerate(names)))
        np.save(tmp_path / "x.npy", LABELS)
        nib.save(nib.Nifti1Image(LABELS.reshape(642, 1, 1).astype(np.int16), np.eye(4)), tmp_path / "x.nii")
        spec = {"kind": "labels", "file": path.name, "names": "names.tsv"}
        atlas = atlas_from_spec(spec, name="x", space=abstract_space(642), root=tmp_path)
        assert atlas.regions == ("a", "b")
        np.testing.assert_array_equal(np.array([1, 3]) @ atlas.weights.toarray(), np.where(LABELS % 2, LABELS, 0))
        return
    found = read_labels(path)
    assert (found.names, found.background) == ({1: "a", 3: "b"}, ("unknown", wall))
    np.testing.assert_array_equal(found.labels[:642], np.where(LABELS % 2, LABELS, 0))


def test_background_among_weights(tmp_path):
    np.save(tmp_path / "w.npy", np.eye(5, 3))
    (tmp_path / "names.tsv").write_text("name\na\nBackground\nb\n")
    spec = {"kind": "weights", "file": "w.npy", "names": "names.tsv"}
    atlas = atlas_from_spec(spec, name="x", space=abstract_space(5), root=tmp_path)
    assert atlas.regions == ("a", "b")
    np.testing.assert_array_equal(atlas.weights.toarray(), np.eye(5, 3).T[[0, 2]])


# --- two meanings


@pytest.mark.parametrize("other", ["b", "unknown"])
def test_two_regions_of_one_colour(tmp_path, other):
    annot(tmp_path / "lh.x.annot", LABELS % 3, ["c", "a", other], colours=[1, 2, 2])
    with pytest.raises(InputError, match=rf"lh\.x\.annot: regions 'a' and '{other}' have one colour"):
        read_labels(tmp_path / "lh.x.annot")
    # Where no vertex has the colour, it is nobody's; where both are background, it is nothing's
    annot(tmp_path / "lh.x.annot", LABELS * 0, ["c", "a", other], colours=[1, 2, 2])
    assert (read_labels(tmp_path / "lh.x.annot").labels > 0).all()
    annot(tmp_path / "lh.x.annot", LABELS % 3, ["c", "unknown", "Medial_wall"], colours=[1, 2, 2])
    assert set(read_labels(tmp_path / "lh.x.annot").names.values()) == {"c"}


def test_two_names_of_one_number(tmp_path):
    label_gii(tmp_path / "x.label.gii", [("x", LABELS % 2)], ["???", "a", "b"], keys=[0, 1, 1])
    with pytest.raises(InputError, match=r"x\.label\.gii: labels 'a' and 'b' have one number, 1"):
        read_labels(tmp_path / "x.label.gii")
    dlabel(tmp_path / "x.dlabel.nii", [("x", LABELS % 3)], ["???", "a", "b"])
    data = (tmp_path / "x.dlabel.nii").read_bytes().replace(b'Key="2"', b'Key="1"')
    (tmp_path / "x.dlabel.nii").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.dlabel\.nii: labels 'a' and 'b' have one number, 1"):
        read_labels(tmp_path / "x.dlabel.nii")
    annot(tmp_path / "lh.x.annot", LABELS % 3, ["unknown", "first", "second"])
    data = bytearray((tmp_path / "lh.x.annot").read_bytes())
    place = data.index(b"second") - 8
    data[place : place + 4] = (1).to_bytes(4, "big")
    (tmp_path / "lh.x.annot").write_bytes(data)
    with pytest.raises(InputError, match=r"lh\.x\.annot: regions 'first' and 'second' have one number, 1"):
        read_labels(tmp_path / "lh.x.annot")


@pytest.mark.parametrize("kind", ["annot", "label.gii", "dlabel.nii", "names"])
def test_one_name_of_two_regions(tmp_path, kind):
    names, spec = ["???", "a", "b", "a"], {"kind": "labels", "file": f"x.{kind}"}
    if kind == "annot":
        annot(tmp_path / "l.annot", LABELS, names)
        annot(tmp_path / "r.annot", LABELS, ["???", "c", "d", "e"])
        spec = {"kind": "labels", "left": "l.annot", "right": "r.annot"}
    elif kind == "label.gii":
        label_gii(tmp_path / "l.label.gii", [("x", LABELS)], names)
        spec = {"kind": "labels", "left": "l.label.gii", "right": "l.label.gii"}
    elif kind == "dlabel.nii":
        dlabel(tmp_path / "x.dlabel.nii", [("x", LABELS)], names)
    else:
        np.save(tmp_path / "x.npy", np.r_[LABELS, LABELS])
        (tmp_path / "names.tsv").write_text("index\tname\n1\ta\n2\tb\n3\ta\n")
        spec = {"kind": "labels", "file": "x.npy", "names": "names.tsv"}
    with pytest.raises(AtlasError, match=r"must be unique, these are not: \['(L_)?a'"):
        atlas_from_spec(spec, name="x", space=SPACES["fsaverage3"], root=tmp_path)


def test_a_region_that_is_called_nothing(tmp_path):
    """Numbers that are one off: the first region is where there is none."""
    np.save(tmp_path / "x.npy", np.r_[LABELS, LABELS])
    (tmp_path / "names.tsv").write_text("index\tname\n0\tV1\n1\tV2\n2\tV3\n3\tV4\n")
    spec = {"kind": "labels", "file": "x.npy", "names": "names.tsv"}
    with pytest.raises(AtlasError, match=r"names\.tsv: names label 0 'V1', but 0 is no region"):
        atlas_from_spec(spec, name="x", space=SPACES["fsaverage3"], root=tmp_path)


# --- one of several


@pytest.mark.parametrize("kind", ["dlabel.nii", "label.gii", "nii.gz"])
def test_one_of_several_parcellations(tmp_path, kind):
    first, second = LABELS % 2, LABELS % 3
    names, path = ["???", "a", "b"], tmp_path / f"two.{kind}"
    if kind == "dlabel.nii":
        dlabel(path, [("Yeo7", first), ("Yeo17", second)], names)
    elif kind == "label.gii":
        label_gii(path, [("Yeo7", first), ("Yeo17", second)], names)
    else:
        data = np.stack([first, second], axis=-1).reshape(642, 1, 1, 2)
        nib.save(nib.Nifti1Image(data.astype(np.int16), np.eye(4)), path)
    key = {"file": path.name} if kind != "label.gii" else {"left": path.name, "right": path.name}
    space = abstract_space(642) if kind == "nii.gz" else SPACES["fsaverage3"]

    def sizes(pick):
        spec = {"kind": "labels", **{side: file + pick for side, file in key.items()}}
        assert spec_files(spec, tmp_path) == [path]
        found = atlas_from_spec(spec, name="x", space=space, root=tmp_path)
        return next(n for region, n in zip(found.regions, found.sizes, strict=True) if region.endswith(("a", "1")))

    with pytest.raises(AtlasError, match=rf"2 maps where one is needed, say which.*as in 'two\.{kind}#"):
        sizes("")
    both = 2 if kind == "dlabel.nii" else 1
    for pick, labels in (("#0", first), ("#1", second), ("#Yeo7", first), ("#Yeo17", second)):
        if kind != "nii.gz" or pick in ("#0", "#1"):
            assert sizes(pick) == both * (labels == 1).sum()
    with pytest.raises(AtlasError, match=re.escape("no ")):
        sizes("#Yeo18")


def test_two_maps_of_one_name_are_told_apart_by_number(tmp_path):
    label_gii(tmp_path / "x.label.gii", [("x", LABELS % 2), ("x", LABELS % 3)], ["???", "a", "b"])
    with pytest.raises(InputError, match=r"maps \[0, 1\] are both 'x'"):
        read_labels(tmp_path / "x.label.gii", pick="x")
    assert read_labels(tmp_path / "x.label.gii", pick="1").labels.max() == 2


# --- mesh and values in one file


def test_a_gifti_of_mesh_and_values(tmp_path):
    """As CAT12 writes its resampled surfaces."""
    values = np.arange(4, dtype=np.float32)
    points, faces = np.eye(4, 3, dtype=np.float32), np.array([[0, 1, 2], [1, 2, 3]], np.int32)
    image = nib.GiftiImage()
    for intent, data in (("POINTSET", points), ("TRIANGLE", faces), ("NONE", values)):
        image.add_gifti_data_array(nib.gifti.GiftiDataArray(data, intent=f"NIFTI_INTENT_{intent}"))
    nib.save(image, tmp_path / "s12.lh.thickness.gii")
    np.testing.assert_array_equal(read_map(tmp_path / "s12.lh.thickness.gii").values, values)
    np.testing.assert_array_equal(read_mesh(tmp_path / "s12.lh.thickness.gii").faces, faces)
    image.add_gifti_data_array(nib.gifti.GiftiDataArray(values, intent="NIFTI_INTENT_SHAPE"))
    nib.save(image, tmp_path / "s12.lh.thickness.gii")
    with pytest.raises(InputError, match="2 maps where one is needed"):
        read_map(tmp_path / "s12.lh.thickness.gii")


@pytest.mark.parametrize("said", [None, "CortexLeftAndRight"])
def test_a_cohort_of_cat12s_merged_surfaces(tmp_path, said):
    """`s12.mesh.thickness.resampled_32k.NAME.gii`: both hemispheres, mesh and values, in one file."""
    n = SPACES["fsLR-32k"].n_locations
    meta = {} if said is None else {"AnatomicalStructurePrimary": said}
    points, faces = np.zeros((n, 3), np.float32), np.array([[0, 1, 2]], np.int32)
    values = np.random.default_rng(0).normal(size=(2, n)).astype(np.float32)
    for subject, row in zip("ab", values, strict=True):
        image = nib.GiftiImage()
        for intent, data in (("POINTSET", points), ("TRIANGLE", faces), ("NONE", row)):
            array = nib.gifti.GiftiDataArray(data, f"NIFTI_INTENT_{intent}", meta=nib.gifti.GiftiMetaData(meta))
            image.add_gifti_data_array(array)
        nib.save(image, tmp_path / f"s12.mesh.thickness.resampled_32k.{subject}.gii")
    files = find_maps(tmp_path, {"thickness": "s12.mesh.thickness.resampled_32k.{participant_id}.gii"})
    load_maps(files, tmp_path, space=SPACES["fsLR-32k"])
    np.testing.assert_array_equal(open_maps(tmp_path).values[:, 0], values)


def test_fsaverage6_by_its_name(tmp_path):
    space, values = Space.from_name("fsaverage6"), np.arange(2 * 40962, dtype=np.float32)
    for hemi, half in (("lh", values[:40962]), ("rh", values[40962:])):
        nib.MGHImage(half[:, None, None], np.eye(4)).to_filename(tmp_path / f"{hemi}.thickness.a.mgh")
    load_maps(find_maps(tmp_path, {"m": "{hemi_fs}.thickness.{participant_id}.mgh"}), tmp_path, space=space)
    np.testing.assert_array_equal(open_maps(tmp_path).values[0, 0], values)


def test_a_quotation_mark_in_a_table_of_names_swallows_no_region(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(1284) % 3 + 1)
    (tmp_path / "names.tsv").write_bytes('\ufeffindex\tname\r\n1\t"V1\r\n2\tV2\r\n3\t"V3"\r\n'.encode())
    spec = {"kind": "labels", "file": "x.npy", "names": "names.tsv"}
    atlas = atlas_from_spec(spec, name="a", space=SPACES["fsaverage3"], root=tmp_path)
    assert atlas.regions == ('"V1', "V2", "V3")
    (tmp_path / "names.tsv").write_text("index\tname\n1\tV1\tV2\n")
    with pytest.raises(AtlasError, match="line 2 has 3 cells, the header has 2"):
        atlas_from_spec(spec, name="a", space=SPACES["fsaverage3"], root=tmp_path)
