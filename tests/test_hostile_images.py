"""Files that lie about their size, swell, or name other files: told of, never believed. And the bounds themselves."""

from __future__ import annotations

import base64
import gzip
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ParcelsAxis, ScalarAxis, SeriesAxis

from cortax.brain.data import bounds
from cortax.brain.data.images import read_map
from cortax.brain.data.labels import read_labels
from cortax.brain.data.map_files import find_maps, inventory
from cortax.brain.data.matrices import read_matrix
from cortax.brain.data.meshes import read_mesh
from cortax.brain.data.parcel_table import read_parcel_table
from cortax.brain.data.spaces import abstract_space
from cortax.brain.data.stacks import Stacks, describe_stack
from cortax.brain.parcellation.readers import read_weights
from cortax.brain.parcellation.spec_files import spec_files
from cortax.data.files import DamagedFileError
from cortax.errors import CortaxError
from cortax.provenance.files import file_digest

VALUES = np.arange(400, dtype=np.float32) + 1
CUBE = VALUES.reshape(4, 10, 10)
TABLE = {0: ("???", (0, 0, 0, 0)), 1: ("one", (1, 0, 0, 1)), 2: ("two", (0, 1, 0, 1))}


def volume(path: Path, data: np.ndarray = CUBE) -> None:
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


def gifti(path: Path, *arrays: tuple[str, np.ndarray], encoding: str = "GIFTI_ENCODING_B64GZ") -> None:
    table = nib.gifti.GiftiLabelTable()
    for key, (name, _) in TABLE.items():
        label = nib.gifti.GiftiLabel(key, 1, 1, 1, 1)
        label.label = name
        table.labels.append(label)
    image = nib.GiftiImage(labeltable=table)
    for intent, data in arrays:
        image.add_gifti_data_array(nib.gifti.GiftiDataArray(data, intent=f"NIFTI_INTENT_{intent}", encoding=encoding))
    nib.save(image, path)


def cifti(path: Path, axis: object, data: np.ndarray) -> None:
    brain = BrainModelAxis.from_mask(np.arange(12) > 1, "CortexLeft")
    brain += BrainModelAxis.from_mask(np.arange(12) > 2, "CortexRight")
    brain += BrainModelAxis.from_mask(np.ones((2, 2, 1), bool), "CIFTI_STRUCTURE_THALAMUS_LEFT", affine=np.eye(4))
    nib.Cifti2Image(data, (axis, brain)).to_filename(path)


def annot(path: Path) -> None:
    nib.freesurfer.write_annot(
        path, np.arange(400) % 3, np.eye(3, 4, dtype=int) * 50, ["unknown", "a", "b"], fill_ctab=True
    )


def corners() -> tuple[np.ndarray, np.ndarray]:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    return points, np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]], np.int32)


def weights(path: Path):
    return read_weights({"file": path.name}, abstract_space(20), path.parent)


def rows(path: Path):
    with Stacks(path.parent) as stacks:
        return [stacks.read(path, i) for i in range(describe_stack(path).n_rows)]


def parcels() -> ParcelsAxis:
    vertices = [{"CIFTI_STRUCTURE_CORTEX_LEFT": np.array([i])} for i in range(3)]
    voxels = [np.empty((0, 3), int)] * 3
    return ParcelsAxis(["a", "b", "c"], voxels, vertices, np.eye(4), (2, 2, 2), {"CIFTI_STRUCTURE_CORTEX_LEFT": 3})


def parcel_file(path: Path, axis: object, data: np.ndarray) -> None:
    nib.Cifti2Image(data, (axis, parcels())).to_filename(path)


FOUR = np.stack([CUBE] * 3, axis=-1)
POINTS, FACES = corners()
SPARSE = scipy.sparse.csr_array(np.eye(20, 3))
# Name of the file, what writes it, what reads it.
KINDS: list[tuple[str, Callable[[Path], object], Callable[[Path], object]]] = [
    ("a.nii", volume, read_map),
    ("a.nii.gz", volume, read_map),
    ("a.mgh", lambda p: nib.save(nib.MGHImage(CUBE, np.eye(4)), p), read_map),
    ("a.mgz", lambda p: nib.save(nib.MGHImage(CUBE, np.eye(4)), p), read_map),
    ("a.npy", lambda p: np.save(p, VALUES), read_map),
    ("a.func.gii", lambda p: gifti(p, ("SHAPE", VALUES)), read_map),
    ("b.func.gii", lambda p: gifti(p, ("SHAPE", VALUES), encoding="GIFTI_ENCODING_B64BIN"), read_map),
    ("c.func.gii", lambda p: gifti(p, ("SHAPE", VALUES), encoding="GIFTI_ENCODING_ASCII"), read_map),
    ("a.func.gii.gz", lambda p: gifti(p, ("SHAPE", VALUES)), read_map),
    ("a.dscalar.nii", lambda p: cifti(p, ScalarAxis(["x"]), np.ones((1, 23), np.float32)), read_map),
    ("lh.thickness", lambda p: nib.freesurfer.write_morph_data(p, VALUES), read_map),
    ("lh.a.annot", annot, read_labels),
    ("a.label.gii", lambda p: gifti(p, ("LABEL", np.arange(400, dtype=np.int32) % 3)), read_labels),
    ("a.dlabel.nii", lambda p: cifti(p, LabelAxis(["x"], [TABLE]), np.ones((1, 23), np.float32)), read_labels),
    ("labels.nii.gz", lambda p: volume(p, np.arange(400, dtype=np.int16).reshape(4, 10, 10) % 3), read_labels),
    ("labels.npy", lambda p: np.save(p, np.arange(400) % 3), read_labels),
    ("a.surf.gii", lambda p: gifti(p, ("POINTSET", POINTS), ("TRIANGLE", FACES)), read_mesh),
    ("lh.pial", lambda p: nib.freesurfer.write_geometry(p, POINTS, FACES, "made"), read_mesh),
    ("weights.npy", lambda p: np.save(p, np.ones((20, 3))), weights),
    ("weights.npz", lambda p: scipy.sparse.save_npz(p, SPARSE), weights),
    ("stack.nii.gz", lambda p: volume(p, FOUR), rows),
    ("stack.nii", lambda p: volume(p, FOUR), rows),
    ("stack.mgh", lambda p: nib.save(nib.MGHImage(FOUR.reshape(-1, 1, 1, 3), np.eye(4)), p), rows),
    ("stack.mgz", lambda p: nib.save(nib.MGHImage(FOUR.reshape(-1, 1, 1, 3), np.eye(4)), p), rows),
    ("stack.npy", lambda p: np.save(p, FOUR.reshape(-1, 3).T), rows),
    ("stack.dscalar.nii", lambda p: cifti(p, ScalarAxis(["x", "y"]), np.ones((2, 23), np.float32)), rows),
    ("stack.dtseries.nii", lambda p: cifti(p, SeriesAxis(0, 1, 2), np.ones((2, 23), np.float32)), rows),
    ("a.pconn.nii", lambda p: parcel_file(p, parcels(), np.eye(3)), read_matrix),
    ("a.pscalar.nii", lambda p: parcel_file(p, ScalarAxis(["x", "y"]), np.ones((2, 3))), read_parcel_table),
    ("matrix.npy", lambda p: np.save(p, np.eye(4)), read_matrix),
]
IDS = [kind[0] for kind in KINDS]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """For each kind its bytes, unpacked, and a folder to harm them in."""
    folder, found = tmp_path_factory.mktemp("hostile"), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy and nibabel as they write
        for name, write, read in KINDS:
            write(folder / name)
            read(folder / name)
            data = (folder / name).read_bytes()
            found[name] = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return folder, found


@pytest.mark.parametrize(("name", "read"), [(name, read) for name, _, read in KINDS], ids=IDS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_header_is_believed(written, name, read, data):
    """Some bytes are changed, most often to lengths that are huge, 0 or negative: read, or refused, never swollen."""
    folder, originals = written
    content = bytearray(originals[name])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, min(len(content) - 9, 1500)))
        number = data.draw(st.sampled_from([0, -1, 1, 7, 2**31 - 1, -(2**31), 2**40, 2**62, 0x7FFF]))
        kind = data.draw(st.sampled_from([">i", "<i", ">q", "<q", "<h", ">h", "b", "digits"]))
        if kind == "digits":
            found = next((i for i in range(place, len(content) - 9) if chr(content[i]).isdigit()), place)
            content[found : found + 1] = str(abs(number)).encode()
        else:
            bits = 8 * struct.calcsize(kind)
            struct.pack_into(kind, content, place, (number + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1))
    path = folder / f"harmed-{name}" if not name.startswith("lh.") else folder / f"lh.harmed-{name[3:]}"
    path.write_bytes(gzip.compress(bytes(content)) if name.endswith((".gz", ".mgz")) else bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracemalloc.start()
        said = f"read {path}"
        try:
            read(path)
        except CortaxError as error:
            said = str(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert path.name in said
    assert peak < 64 * 2**20


@pytest.mark.parametrize("shape", [(0, 10, 10), (10**4, 10**4, 10**4), (2, 2, 2, 0)])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_volume_of_no_voxels_or_too_many(tmp_path, shape, name):
    header = nib.Nifti1Header()
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header["vox_offset"], header["magic"] = 352, b"n+1"
    data = header.binaryblock + bytes(4 + 4000)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(DamagedFileError, match=f"{name}.*its header (claims|lies)"):
        read_map(tmp_path / name)


@pytest.mark.parametrize("n", [0, -1, -(2**31), 2**31 - 1])
def test_a_surface_map_of_a_length_that_cannot_be(tmp_path, n):
    (tmp_path / "lh.curv").write_bytes(b"\xff\xff\xff" + struct.pack(">3i", n, 0, 1) + bytes(400))
    with pytest.raises(DamagedFileError, match=r"lh\.curv.*its header (claims|lies)"):
        read_map(tmp_path / "lh.curv")


def test_what_swells_is_refused_at_the_bound(tmp_path, monkeypatch):
    """2.7 MB of GIFTI held 4.2 GB; the bounds are lowered here, as a test need not hold what it refuses."""
    monkeypatch.setattr(bounds, "FLOOR", 10**5)
    zeros = np.zeros(10**6, np.float32)
    np_shape = zeros.reshape(100, 100, 100)
    nib.save(nib.Nifti1Image(np_shape, np.eye(4)), tmp_path / "a.nii.gz")
    nib.save(nib.MGHImage(np_shape, np.eye(4)), tmp_path / "a.mgz")
    gifti(tmp_path / "a.func.gii", ("SHAPE", zeros))
    gifti(tmp_path / "b.func.gii", *[("SHAPE", zeros[: 10**5])] * 10)
    plain = tmp_path / "c.func.gii"
    gifti(plain, ("SHAPE", zeros), encoding="GIFTI_ENCODING_B64BIN")
    (tmp_path / "d.func.gii.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for name in ("a.nii.gz", "a.mgz", "a.func.gii", "b.func.gii", "d.func.gii.gz"):
        with pytest.raises(DamagedFileError, match=name):
            read_map(tmp_path / name, pick=0)
    monkeypatch.undo()
    assert len(read_map(tmp_path / "a.func.gii").values) == 10**6


def test_an_array_of_gifti_is_never_unpacked_beyond_its_size(tmp_path):
    """100 values by the header, 100 million in the data."""
    path = tmp_path / "a.func.gii"
    gifti(path, ("SHAPE", VALUES[:100]))
    text = path.read_text()
    start, end = text.index("<Data>") + 6, text.index("</Data>")
    path.write_text(text[:start] + base64.b64encode(zlib.compress(bytes(4 * 10**8), 9)).decode() + text[end:])
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match=r"a\.func\.gii: an array of 400 bytes by its header"):
        read_map(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


# --- other files


def external(path: Path, target: str, *arrays: tuple[str, np.ndarray]) -> Path:
    gifti(path, *arrays, encoding="GIFTI_ENCODING_B64BIN")
    text = path.read_text().replace('Encoding="Base64Binary"', 'Encoding="External&#70;ileBinary"')
    text = text.replace('ExternalFileName=""', f'ExternalFileName="{target}"')
    path.write_text(text.replace('ExternalFileOffset=""', 'ExternalFileOffset="0"'))
    return path


READERS = [
    ("a.func.gii", read_map, [("SHAPE", VALUES)]),
    ("a.label.gii", read_labels, [("LABEL", np.arange(400, dtype=np.int32) % 3)]),
    ("a.surf.gii", read_mesh, [("POINTSET", POINTS), ("TRIANGLE", FACES)]),
]


@pytest.mark.parametrize("target", ["b.dat", "a.bin", "../a.dat", "./a.dat", "/etc/passwd", "a.func.gii", ""])
@pytest.mark.parametrize(("name", "read", "arrays"), READERS)
def test_values_in_any_other_file_are_refused(tmp_path, target, name, read, arrays):
    (tmp_path / "b.dat").write_bytes(VALUES.tobytes())
    with pytest.raises(DamagedFileError, match=rf"{name}: its values lie in an external file, '{target}'"):
        read(external(tmp_path / name, target, *arrays))


@pytest.mark.parametrize("target", ["a.dat", "a.{kind}.dat"])
@pytest.mark.parametrize(("name", "read", "arrays"), READERS)
def test_values_in_the_file_of_the_same_name_are_an_input(tmp_path, target, name, read, arrays):
    """As SPM and CAT12 write: read, and digested with the rest."""
    beside = tmp_path / target.format(kind=name.split(".")[1])
    path, expected = tmp_path / name, tmp_path / f"whole-{name}"
    gifti(expected, *arrays)
    external(path, beside.name, *arrays)
    parts, offset = path.read_text().split('ExternalFileOffset="0"'), 0
    for i, (_, data) in enumerate(arrays):
        parts[i] += f'ExternalFileOffset="{offset}"'
        offset += data.nbytes
    path.write_text("".join(parts))
    with pytest.raises(DamagedFileError, match=name):
        read(path)
    content = b"".join(data.tobytes() for _, data in arrays)
    beside.write_bytes(content)
    for mine, other in zip(vars(read(path)).values(), vars(read(expected)).values(), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert beside in spec_files({"file": name}, tmp_path)
    files = find_maps(tmp_path, {"x": name.replace("a.", "{participant_id}.")})
    assert f"{file_digest(beside)} {beside.name}\n" in inventory(files)[0]
    beside.write_bytes(content[:-1])
    with pytest.raises(DamagedFileError, match=rf"{name}: an array of \d+ bytes by its header"):
        read(path)


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "a+orig.HEAD", "a.spec", "a.nhdr"])
def test_formats_of_two_files_are_not_read(tmp_path, name):
    pair = nib.Nifti1Pair(CUBE, np.eye(4))
    nib.save(pair, tmp_path / "a.hdr")
    if not (tmp_path / name).exists():
        (tmp_path / name).write_text("data file: a.img\n")
    for read in (read_map, read_labels):
        with pytest.raises(DamagedFileError, match="its name"):
            read(tmp_path / name)
    # Half a pair under the name of a whole image
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.hdr").read_bytes())
    with pytest.raises(DamagedFileError, match=r"a\.nii"):
        read_map(tmp_path / "a.nii")
