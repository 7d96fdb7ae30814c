"""What gc would remove, and what it must not, in small workdirs made by hand."""

import json
import os
import time

import pytest
from accelerator.urd import DB
from accelerator.urd import Entry as UrdEntry

from cortax.errors import ProjectError
from cortax.workflow.guarding.collect import find_waste, remove, seconds_of, size_of
from cortax.workflow.guarding.needed import needed_jobs

DAY = 86400.0


class Workdir:
    """Jobs of 100 kB each, and lists of builds written by Exax's own urd."""

    def __init__(self, root):
        self.root = root
        self.jobs = root / "workdirs/main"
        self.jobs.mkdir(parents=True)

    def job(self, number, *, made_from=(), days=0.0, caption="mini/some", finished=True, **more):
        folder = self.jobs / f"main-{number}"
        folder.mkdir()
        slots = {"load": f"main-{made_from[0]}", "rest": [f"main-{n}" for n in made_from[1:]]} if made_from else {}
        setup = {"method": "some", "caption": caption, "jobs": slots, "datasets": {}, "options": {}} | more
        (folder / "setup.json").write_text(json.dumps(setup))
        (folder / "data.npy").write_bytes(os.urandom(100_000))
        if finished:
            (folder / "post.json").write_text("{}")
        self.age(folder, days)

    def age(self, path, days):
        for each in (*path.rglob("*"), path):
            os.utime(each, (time.time() - days * DAY,) * 2)

    def build(self, day, jobs, build_job=0, name="mini"):
        base = DB(str(self.root / "urd.db"), verbose=False)
        listed = [[f"job{n}", f"main-{n}"] for n in jobs]
        about = {"timestamp": f"2026-11-{day:02d}T10:00:00.000001", "user": "me", "build": name, "caption": ""}
        base.add(UrdEntry(joblist=listed, deps={}, flags=[], build_job=f"main-{build_job}", **about))

    def gone(self, **limits):
        """Numbers of jobs, and names of other things, that would be removed."""
        names = [waste.path.name for waste in find_waste(self.root, **limits)]
        return [int(name[5:]) if name.startswith("main-") else name for name in names]


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Workdir(tmp_path)


def test_whatever_a_listed_build_was_made_from_stays(workdir):
    for number in (1, 2, 3, 4):
        workdir.job(number)
    workdir.job(5, made_from=(1,))
    workdir.job(6, made_from=(5, 2, 3))
    workdir.job(7, datasets={"source": "main-4/default"})
    workdir.job(8, made_from=(6,), options={"earlier": {"job": "main-7"}})
    workdir.job(9, made_from=(6,))
    workdir.job(10)
    workdir.build(1, [8])
    assert needed_jobs(workdir.root) == {"main-0", *(f"main-{n}" for n in range(1, 9))}
    assert workdir.gone(older_than=0) == [9]  # and not the highest number, which would be given again


def test_what_results_link_to_stays(workdir):
    for number in range(1, 5):
        workdir.job(number)
    workdir.job(5, made_from=(2,))
    workdir.job(6)
    (workdir.root / "results/mini").mkdir(parents=True)
    (workdir.root / "results/mini/scores").symlink_to(workdir.jobs / "main-5/data.npy")
    (workdir.root / "results/mini/gone").symlink_to(workdir.jobs / "main-99/data.npy")
    assert workdir.gone(older_than=0) == [1, 3, 4]


def test_only_so_many_builds_of_each_study_count(workdir):
    for number in range(1, 8):
        workdir.job(number)
    workdir.build(1, [1])
    workdir.build(2, [2])
    workdir.build(3, [3])
    workdir.build(1, [4], name="other")
    workdir.build(2, [5], name="other")
    assert workdir.gone(older_than=0) == [6]
    assert workdir.gone(older_than=0, n_builds=2) == [1, 6]
    assert workdir.gone(older_than=0, n_builds=1) == [1, 2, 4, 6]


def test_of_all_runs_of_a_script_the_last_counts(workdir):
    """What Exax notes of every run; scripts of others than cortax may note their jobs nowhere else."""
    workdir.job(1, is_build=True, method="dev.build_mine")
    workdir.job(2)
    workdir.job(3, is_build=True, method="dev.build_mine")
    workdir.job(4)
    workdir.job(5, is_build=True, method="dev.build_studies")
    workdir.job(6)
    workdir.job(7)
    workdir.build(1, [2], build_job=1, name="__auto__")
    workdir.build(2, [4], build_job=3, name="__auto__")
    workdir.build(3, [6], build_job=5, name="__auto__")
    assert workdir.gone(older_than=0) == [1, 2]


def test_a_build_that_has_not_come_to_its_end_stays_unless_it_is_old(workdir):
    workdir.job(1)
    workdir.job(2)  # of the build that ended, but replaced in it
    workdir.job(3)
    workdir.build(1, [1, 3])
    workdir.job(4, days=5)
    workdir.job(5, made_from=(4,), days=1)
    workdir.job(6, finished=False, days=3)
    workdir.job(7, caption="new/some", days=5)
    workdir.job(8)
    assert workdir.gone() == [2, 6]
    # What a younger one was made from is of no less use than that.
    assert workdir.gone(older_than=2 * DAY) == [6, 7]
    assert workdir.gone(older_than=0.5 * DAY) == [4, 5, 6, 7]


def test_the_oldest_go_until_the_rest_is_small_enough(workdir):
    for number in range(1, 7):
        workdir.job(number, made_from=(2,) if number == 4 else ())
    workdir.job(7)
    workdir.build(1, [3, 7])
    assert workdir.gone(keep_size=10_000_000) == []
    sizes = sum(waste.size for waste in find_waste(workdir.root)) / 5
    assert workdir.gone(keep_size=int(6.5 * sizes)) == [1]
    # Without the second the fourth is of no use.
    assert workdir.gone(keep_size=int(5.5 * sizes)) == [1, 2, 4]
    assert workdir.gone(keep_size=int(4.5 * sizes)) == [1, 2, 4]
    assert workdir.gone(keep_size=0) == [1, 2, 4, 5, 6]
    assert workdir.gone(keep_size=0, older_than=DAY) == []


def test_removed_is_removed_and_sizes_are_those_on_disk(workdir):
    for number in range(1, 4):
        workdir.job(number)
    workdir.build(1, [2, 3])
    before = sum(path.stat().st_blocks * 512 for path in (workdir.jobs, *workdir.jobs.rglob("*")))
    waste = find_waste(workdir.root)
    remove(waste)
    after = sum(path.stat().st_blocks * 512 for path in (workdir.jobs, *workdir.jobs.rglob("*")))
    assert sorted(os.listdir(workdir.jobs)) == ["main-2", "main-3"]
    assert sum(each.size for each in waste) == before - after > 100_000


def test_a_job_that_cannot_be_read_stops_it(workdir):
    workdir.job(1)
    workdir.job(2, made_from=(1,))
    workdir.build(1, [2])
    path = workdir.jobs / "main-2/setup.json"
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ProjectError, match=r"main-2/setup.json: cannot be read .*cortax doctor"):
        workdir.gone()


def test_caches_quarantines_and_checkpoints(workdir, tmp_path):
    workdir.job(1)
    base = workdir.root / ".cortax"
    for folder, days in ((tmp_path / "cache/cortax/numba/smo-aaaa", 40), (base / "numba/smo-bbbb", 60)):
        for name, since in ((folder, days), (folder.with_name("smo-used"), 20)):
            name.mkdir(parents=True)
            (name / "code.nbi").write_text("")
            workdir.age(name, since)
    for name in ("methods.regions.a_load", "methods.a_gone"):
        (base / "manifests").mkdir(exist_ok=True)
        (base / "manifests" / f"{name}.txt").write_text("")
    (workdir.root / "methods/regions").mkdir(parents=True)
    (workdir.root / "methods/regions/a_load.py").write_text("")
    for name, days in (("20261101T000000", 40), ("20261120T000000", 2)):
        (base / "quarantine" / name).mkdir(parents=True)
        workdir.age(base / "quarantine" / name, days)
    (base / "running").mkdir()
    for name, days in (("aa.sqlite", 40), ("aa.sqlite-wal", 40), ("bb.sqlite", 40), ("bb.sqlite-wal", 1)):
        (base / "running" / name).write_text("")
        workdir.age(base / "running" / name, days)
    assert sorted(workdir.gone()) == ["methods.a_gone.txt", "smo-aaaa", "smo-bbbb"]
    gone = workdir.gone(older_than=5 * DAY)
    assert sorted(gone) == ["20261101T000000", "aa.sqlite", "aa.sqlite-wal", "smo-aaaa", "smo-bbbb"]


@pytest.mark.parametrize(("text", "seconds"), [("30d", 30 * DAY), ("12h", 43200.0), ("1.5w", 10.5 * DAY), ("0m", 0.0)])
def test_ages(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("50GB", 50 * 10**9), ("1.5 tb", 15 * 10**11), ("2GiB", 2**31), ("7", 7)])
def test_sizes(text, size):
    assert size_of(text) == size


@pytest.mark.parametrize(("read", "text"), [(seconds_of, "30"), (seconds_of, "-1d"), (size_of, "big"), (size_of, "5G")])
def test_limits_that_are_none(read, text):
    with pytest.raises(ProjectError, match=rf"'{text}': must be a number"):
        read(text)
