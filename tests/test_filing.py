"""What is shown of a study is one build, whatever was killed, deleted or moved, and whoever built."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cortax.errors import ProjectError
from cortax.workflow.build.build import Built, _lacking
from cortax.workflow.build.filing import file_build

# What the system is asked for while a build is filed: each is an instant at which it may be killed.
EVENTS = {"open", "os.mkdir", "os.symlink", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir"}
NAMES = ("scores.parquet", "genie3/links.parquet")


class Filed:
    """A project with builds, each of jobs of its own."""

    def __init__(self, root):
        self.root = root

    def build(self, number, ran=()):
        """Return log and links of a build."""
        folders = [self.root / f"workdirs/main/main-{number}{place}" for place in range(len(NAMES))]
        for folder, name in zip(folders, NAMES, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / Path(name).name).write_text(f"build {number}")
        jobs = {name: folder.name for name, folder in zip(NAMES, folders, strict=True)}
        log = {"kind": "toy", "jobs": jobs, "what": {}, "failed": [], "skipped": {}}
        log |= {"lacking": [], "ran": dict.fromkeys(ran, "why")}
        return log, {name: folder / Path(name).name for name, folder in zip(NAMES, folders, strict=True)}

    def file(self, number, ran=()):
        file_build(self.root, "toy", *self.build(number, ran))

    @property
    def shown(self):
        return self.root / "results/toy"

    def seen(self):
        """Number of the build that log and links are of, which must be one."""
        texts = {(self.shown / name).read_text() for name in NAMES}
        log = json.loads((self.shown / "build.json").read_text())
        texts |= {f"build {log['jobs'][name][5:-1]}" for name in NAMES}
        (text,) = texts
        return int(text.split()[1])

    def log(self):
        return json.loads((self.shown / "build.json").read_text())


@pytest.fixture
def filed(tmp_path):
    return Filed(tmp_path)


def test_builds_follow_one_another_and_only_the_last_two_are_kept(filed):
    for number in range(1, 6):
        filed.file(number)
        assert filed.seen() == number
    assert sorted(os.listdir(filed.root / ".cortax/builds/toy")) == ["4", "5"]
    assert os.listdir(filed.root / "results") == ["toy"]


def test_the_same_build_keeps_what_it_said_it_ran(filed):
    filed.file(1, ran=["scores"])
    place = filed.shown.resolve()
    filed.file(1)
    assert filed.shown.resolve() == place
    assert filed.log()["ran"] == {"scores": "why"}


def test_what_results_lack_is_looked_for_once(filed):
    looked = []
    workload = SimpleNamespace(lacking="a:b", load=lambda _: lambda root, log: looked.append(log) or ["no r2"])
    log, links = filed.build(1)
    built = Built(jobs=log["jobs"])
    assert _lacking(workload, "toy", built, filed.root) == ["no r2"]
    file_build(filed.root, "toy", {**log, "lacking": ["no r2"]}, links)
    assert _lacking(workload, "toy", built, filed.root) == ["no r2"]
    assert len(looked) == 1
    assert _lacking(workload, "toy", Built(jobs={"scores": "main-9"}), filed.root) == ["no r2"]
    assert len(looked) == 2


def test_a_build_that_was_shown_before_is_shown_again(filed):
    for number in (1, 2, 1):
        filed.file(number)
    assert filed.seen() == 1


def kill_at(instant):
    """Kill this process when the system is asked for the nth time."""
    left = [instant]

    def hook(event, _):
        if event in EVENTS:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


@pytest.mark.parametrize("first", ["nothing", "a build", "a folder of an earlier version"])
def test_killed_at_any_instant_one_build_is_shown_and_the_next_goes_on(tmp_path, first):
    n_killed = 0
    for instant in range(1000):
        filed = Filed(tmp_path / str(instant))
        if first != "nothing":
            filed.file(1)
        if first == "a folder of an earlier version":
            inner = filed.shown.resolve()
            filed.shown.unlink()
            inner.rename(filed.shown)
            shutil.rmtree(filed.root / ".cortax")
        wanted = filed.build(2)
        child = os.fork()
        if child == 0:
            kill_at(instant)
            file_build(filed.root, "toy", *wanted)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        n_killed += os.WIFSIGNALED(status)
        if (filed.shown / "build.json").exists():
            assert filed.seen() == 2 or (first != "nothing" and filed.seen() == 1)
        filed.file(2)
        assert filed.seen() == 2
        if status == 0:
            break
    assert status == 0
    assert n_killed > 10


@pytest.mark.parametrize("gone", ["results", "results/toy", ".cortax"])
def test_what_was_deleted_comes_back(filed, gone):
    filed.file(1, ran=["scores"])
    path = filed.root / gone
    path.unlink() if path.is_symlink() else shutil.rmtree(path)
    filed.file(1)
    assert filed.seen() == 1
    assert filed.log()["ran"] == ({} if gone == ".cortax" else {"scores": "why"})


def test_a_moved_project_shows_its_own_files(filed, tmp_path_factory):
    filed.file(1, ran=["scores"])
    there = tmp_path_factory.mktemp("there") / "moved"
    filed.root.rename(there)
    moved = Filed(there)
    moved.file(1)
    assert moved.seen() == 1
    assert (moved.shown / NAMES[0]).resolve().is_relative_to(there)


def test_what_people_put_there_stays(filed):
    filed.file(1)
    (filed.shown / "notes.txt").write_text("mine")
    (filed.shown / "genie3/mine.csv").write_text("1,2")
    filed.file(2)
    assert (filed.shown / "notes.txt").read_text() == "mine"
    assert (filed.shown / "genie3/mine.csv").read_text() == "1,2"


def test_a_full_disk_leaves_what_was_shown(filed, monkeypatch):
    filed.file(1)
    log, links = filed.build(2)

    def full(path, target, **_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "symlink_to", full)
    with pytest.raises(ProjectError, match=r"No space left on device.*is as it was"):
        file_build(filed.root, "toy", log, links)
    monkeypatch.undo()
    assert filed.seen() == 1
    filed.file(2)
    assert filed.seen() == 2
