"""Digests of inputs notice what stock tools miss; records of outputs notice damage."""

import os
import shutil
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortax.errors import InputError, ProjectError
from cortax.provenance import files, outputs
from cortax.provenance.files import DigestMemory, file_digest


@pytest.fixture
def settled(tmp_path):
    """Write a file, last changed a while ago, and remember its digest."""
    path = tmp_path / "input.bin"
    path.write_bytes(b"a" * 100)
    _age(path)
    return path


def _age(path):
    # ctime cannot be set back, so wait until a file counts as settled only where a test needs it.
    past = time.time() - 100
    os.utime(path, (past, past))


def test_unchanged_files_are_read_once(settled, tmp_path, monkeypatch):
    monkeypatch.setattr("cortax.provenance.files.RACY_NS", -(10**12))
    memory = DigestMemory(tmp_path / "memory.json")
    assert memory(settled) == file_digest(settled)
    memory.save()
    again = DigestMemory(tmp_path / "memory.json")
    assert again(settled) == file_digest(settled)
    assert again.n_read == 0


def test_a_change_that_keeps_size_and_mtime_is_seen(settled, tmp_path, monkeypatch):
    monkeypatch.setattr("cortax.provenance.files.RACY_NS", -(10**12))
    memory = DigestMemory(tmp_path / "memory.json")
    before = memory(settled)
    stat = settled.stat()
    time.sleep(0.02)
    settled.write_bytes(b"b" * 100)
    os.utime(settled, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert settled.stat().st_mtime_ns == stat.st_mtime_ns
    assert memory(settled) != before


def test_a_file_changed_a_moment_ago_is_not_remembered(settled, tmp_path):
    settled.write_bytes(b"c" * 100)
    memory = DigestMemory(tmp_path / "memory.json")
    memory(settled)
    memory(settled)
    assert memory.n_read == 2


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_memory_that_is_not_what_was_written_is_made_anew(settled, tmp_path, capsys, monkeypatch, data):
    """One byte more, less or another, other JSON, a folder: never another digest, and never an end."""
    monkeypatch.setattr(files, "RACY_NS", 0)
    path = tmp_path / "memory"
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    good = DigestMemory(path)
    good(settled)
    good.save()
    written = path.read_bytes()
    place = data.draw(st.integers(0, len(written) - 1))
    byte = data.draw(st.binary(min_size=0, max_size=2).filter(lambda byte: byte != written[place : place + 1]))
    harm = data.draw(st.sampled_from(["bytes", "null", "[]", "{}", "", "folder"]))
    if harm == "folder":
        path.unlink()
        path.mkdir()
        (path / "x").write_text("")
    else:
        path.write_bytes(written[:place] + byte + written[place + 1 :] if harm == "bytes" else harm.encode())
    memory = DigestMemory(path)
    assert memory(settled) == file_digest(settled)
    assert memory.n_read == 1
    assert "set aside" in capsys.readouterr().err
    memory.save()
    assert path.read_bytes() == written


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.nii.*cannot be read"):
        DigestMemory(tmp_path / "memory.json")(tmp_path / "gone.nii")


@pytest.fixture
def job(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"12345678")
    (tmp_path / "time.json").write_text("1.5")
    outputs.record(tmp_path, ["a.npy"], ["time.json"], method="load", name="load")
    return tmp_path


def test_intact_files_pass(job):
    outputs.check(job)
    assert outputs.damage(job, deep_below=1 << 30) == []


def test_timings_are_no_part_of_the_digest_and_results_are(job):
    first = outputs.read(job).digest
    (job / "time.json").write_text("2.75")
    assert outputs.record(job, ["a.npy"], ["time.json"], method="load", name="x").digest == first
    assert outputs.record(job, ["a.npy"], ["time.json"], method="split", name="x").digest != first
    (job / "a.npy").write_bytes(b"12345679")
    assert outputs.record(job, ["a.npy"], ["time.json"], method="load", name="x").digest != first


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda job: (job / "a.npy").unlink(), "a.npy is missing"),
        (lambda job: (job / "a.npy").write_bytes(b"1234"), "a.npy has 4 bytes, recorded 8"),
        (lambda job: (job / "a.npy").write_bytes(b"87654321"), "a.npy has other bytes than recorded"),
        (lambda job: (job / "outputs.json").write_text("{"), "no readable record"),
        (lambda job: (job / "outputs.json").unlink(), "no readable record"),
    ],
)
def test_damage_is_found_and_named(job, harm, said):
    time.sleep(0.02)
    harm(job)
    assert said in outputs.damage(job)[0]
    with pytest.raises(ProjectError, match="cortax verify"):
        outputs.check(job)


def test_a_lost_side_file_is_named_and_stops_no_reader(job):
    (job / "time.json").unlink()
    assert outputs.damage(job) == ["time.json is missing"]
    outputs.check(job)


def test_damage_that_keeps_size_and_time_is_found_by_readers_and_verify(job):
    stat = (job / "a.npy").stat()
    (job / "a.npy").write_bytes(b"87654321")
    os.utime(job / "a.npy", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert outputs.damage(job) == []
    assert outputs.damage(job, deep_below=1 << 30) == ["a.npy has other bytes than recorded"]
    with pytest.raises(ProjectError, match=r"a\.npy has other bytes"):
        outputs.check(job)


def test_a_copied_workdir_is_intact(job):
    os.utime(job / "a.npy")
    assert outputs.damage(job) == []


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.binary(max_size=8), min_size=1))
def test_the_digest_is_a_function_of_names_and_bytes(files):
    import tempfile
    from pathlib import Path

    digests = []
    for order in (sorted(files), sorted(files, reverse=True)):
        with tempfile.TemporaryDirectory() as folder:
            for name in order:
                (Path(folder) / name).write_bytes(files[name])
            digests.append(outputs.record(folder, order, method="m", name="n").digest)
    assert digests[0] == digests[1]
