"""Arrays and JSON come back as they were, to the bit; damage is noticed; a file is never half-written."""

import json
import os
import stat
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cortax.errors import FoldError, ProjectError
from cortax.store import build, load, naming, pack, replacing, save, save_dataset, split, unpack, write_whole

NAMES = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
RECORD = np.dtype([("a", "<f4"), ("b", ">i2", (2,))])
DTYPES = hnp.scalar_dtypes() | st.just(RECORD)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.dictionaries(NAMES, DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)), max_size=3)


def same(one, other):
    assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(ARRAYS, JSON)
def test_what_is_packed_is_unpacked(arrays, about):
    content = pack(arrays, about)
    found, told = unpack(content)
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        same(found[name], values)
    assert told == about
    assert pack(found, told) == content


@given(st.lists(st.integers(0, 2**64 - 1), max_size=9))
def test_every_bit_of_a_number_is_kept(bits):
    values = np.array(bits, dtype=np.uint64).view(np.float64)  # NaN has many
    same(unpack(pack({"values": values}, None))[0]["values"], values)


def test_views_in_any_order_of_memory():
    whole = np.arange(24.0).reshape(4, 6)
    for view in (whole.T, whole[::-2, 1::2], np.asfortranarray(whole), whole.astype(">f4"), np.float64(3)):
        same(unpack(pack({"view": view}, None))[0]["view"], np.asarray(view))


@given(ARRAYS, JSON, st.data())
def test_any_damage_is_noticed(arrays, about, data):
    content = bytearray(pack(arrays, about))
    place = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "more", "lost"]))
    if kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[place:]
    elif kind == "lost":
        del content[place]
    else:
        content.insert(place, data.draw(st.integers(0, 255)))
    with pytest.raises(ProjectError, match="not what was packed"):
        unpack(bytes(content))


def test_every_byte_counts():
    content = pack({"values": np.arange(3)}, {"seconds": 0.5})
    for place in range(len(content)):
        harmed = bytearray(content)
        harmed[place] ^= 1
        with pytest.raises(ProjectError, match="not what was packed"):
            unpack(bytes(harmed))


def test_neither_pickles_nor_objects():
    objects = {"objects": np.array([{"a": 1}], dtype=object)}
    with pytest.raises(ValueError, match="allow_pickle"):
        pack(objects, None)
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        pack({}, {"message": object()})


# --- files


@given(values=DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)), about=JSON, data=st.binary())
def test_what_is_saved_is_loaded(tmp_path_factory, values, about, data):
    folder = tmp_path_factory.mktemp("saved")
    files = {"a.npz": {"values": values, "more": np.arange(2)}, "b.npy": values, "c.json": about, "d.png": data}
    assert save(folder, files) == list(files)
    arrays, mapped, told, raw = load(folder, *files)
    assert list(arrays) == ["values", "more"]
    same(arrays["values"], values)
    same(mapped, values)
    assert (told, raw) == (about, data)
    before = [(folder / name).read_bytes() for name in files]
    save(folder, files)
    assert [(folder / name).read_bytes() for name in files] == before


def test_an_array_of_its_own_is_mapped_and_read_only(tmp_path):
    save(tmp_path, {"a.npy": np.arange(6.0)})
    (values,) = load(tmp_path, "a.npy")
    assert isinstance(values, np.memmap)
    assert not values.flags.writeable


def test_the_style_of_json(tmp_path):
    about = {"b": np.int64(1), "a": (True, None)}
    save(tmp_path, {"a.json": about})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  true,\n  null\n ],\n "b": 1\n}'
    save(tmp_path, {"a.json": about}, indent=None, sort_keys=False, end="\n")
    assert (tmp_path / "a.json").read_text() == '{"b": 1, "a": [true, null]}\n'


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.json", "a.png"])
def test_the_missing_file_is_named(tmp_path, name):
    with pytest.raises(ProjectError, match=rf"{name}: missing or damaged \(FileNotFoundError"):
        load(tmp_path, name)


@pytest.mark.parametrize("harm", [lambda b: b"", lambda b: b[:-1], lambda b: b[: len(b) // 2], lambda b: b"\xff" * 90])
@pytest.mark.parametrize(
    ("name", "content"), [("a.npz", {"x": np.arange(99)}), ("a.npy", np.arange(99)), ("a.json", {"x": 1})]
)
def test_the_damaged_file_is_named(tmp_path, name, content, harm):
    save(tmp_path, {name: content})
    (tmp_path / name).write_bytes(harm((tmp_path / name).read_bytes()))
    with pytest.raises(ProjectError, match=f"{name}: missing or damaged"):
        load(tmp_path, name)


def test_only_errors_of_others_are_renamed(tmp_path):
    with pytest.raises(FoldError, match=r"^as it is$"), naming(tmp_path):
        raise FoldError("as it is")
    with pytest.raises(MemoryError), naming(tmp_path):
        raise MemoryError


@dataclass(frozen=True)
class Kept:
    values: np.ndarray
    names: tuple[str, ...]
    note: str = ""


def test_a_value_is_split_into_arrays_and_the_rest_and_built_again():
    arrays, about = split(Kept(np.arange(2), ("a",), "n"))
    assert (list(arrays), about) == (["values"], {"names": ("a",), "note": "n"})
    found = build(Kept, arrays, {"names": ["x"], "other": 3}, {"names": ["a", "b"]})
    assert (found.values is arrays["values"], found.names, found.note) == (True, ("a", "b"), "")
    with pytest.raises(ProjectError, match=r"not a stored Kept: .*'names'"):
        build(Kept, arrays)


# --- files that are never half-written


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("content", ["é\n", b"\x00\r\n\xff"])
def test_a_file_is_replaced(tmp_path, content, sync):
    path = tmp_path / "note.json"
    expected = content if isinstance(content, bytes) else content.encode()
    for before in (None, b"a longer one that was there"):
        if before:
            path.write_bytes(before)
        write_whole(path, content, sync=sync)
        assert path.read_bytes() == expected
        assert os.listdir(tmp_path) == ["note.json"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "note.json"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["note.json"])
    with pytest.raises(TypeError):
        write_whole(path, 3)
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["note.json"])


def test_the_old_file_is_whole_until_the_block_ends(tmp_path):
    path = tmp_path / "note.json"
    path.write_text("old")
    with replacing(path) as one, replacing(path) as two:
        one.write_text("one")
        two.write_text("two")
        assert path.read_text() == "old"
    assert (path.read_text(), os.listdir(tmp_path)) == ("one", ["note.json"])


def test_where_there_is_no_folder_nothing_is_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "a", "text")
    assert not os.listdir(tmp_path)


def test_permissions_are_those_of_a_plain_write(tmp_path):
    for name in ("plain", "whole"):
        (tmp_path / name).touch()
    new = tmp_path / "new"
    write_whole(new, "text")
    assert stat.S_IMODE(new.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    new.chmod(0o640)
    write_whole(new, "text")
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


# --- datasets


class Job:
    """What Exax hands to a method, as far as a dataset needs it; that Exax takes it is for tests of whole builds."""

    def __init__(self, folder):
        self.folder, self.rows = folder, []

    def filename(self, name):
        return self.folder / name

    def datasetwriter(self, columns, allow_missing_slices):
        self.columns = columns
        return self

    def set_slice(self, number):
        self.slice = number

    def write_dict(self, row):
        self.rows.append(row)

    def finish(self):
        self.finished = True


def test_a_table_is_a_file_and_a_dataset(tmp_path):
    table = pd.DataFrame({"n": [1, 2], "score": [0.5, 1.5], "name": ["x", "ü"]})
    job = Job(tmp_path)
    save_dataset(job, table, "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)
    assert job.columns == {"n": "int64", "score": "float64", "name": "unicode"}
    assert (json.loads(json.dumps(job.rows)), job.slice, job.finished) == (table.to_dict("records"), 0, True)
