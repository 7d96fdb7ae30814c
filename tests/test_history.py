"""What earlier jobs tell: why one must run, which stands for the same results, and how a damaged one is mended."""

import hashlib
import io
import json
import os
import tarfile

import pytest

from cortax.errors import ProjectError
from cortax.provenance import outputs
from cortax.workflow.build.history import History
from cortax.workflow.plan.identity import note_identity
from cortax.workflow.plan.jobspec import JobSpec

METHOD = "description = 'square'\n"
MANIFEST = "aa11 cortax/squares.py\nbb22 methods/a_square.py\npython 3.11.7 CPython x86_64\nnumpy 2.4.0\n"
OPTIONS = {"n": 2, "space": {"high": 5, "low": 1}, "names": ["a", "b"]}


class Workdir:
    """A project of one method, and folders as Exax and its jobs leave them."""

    def __init__(self, root):
        self.root = root
        self.folder = root / "workdirs" / "main"
        for path in (self.folder, root / "methods", root / ".cortax" / "manifests"):
            path.mkdir(parents=True)
        (root / "accelerator.conf").write_text("method packages:\n\tmethods auto-discover\n")
        self.write_code()

    def write_code(self, method=METHOD, manifest=MANIFEST):
        self.code = {"methods/a_square.py": method, ".cortax/manifests/methods.a_square.txt": manifest}
        for name, text in {"methods/__init__.py": "", **self.code}.items():
            (self.root / name).write_text(text)

    def job(
        self, number, *, results=b"4", name="mini/square", options=OPTIONS, jobs=None, log=b"", finished=True, key=None
    ):
        folder = self.folder / f"main-{number}"
        folder.mkdir()
        (folder / "squares.npy").write_bytes(results)
        (folder / "log.txt").write_bytes(log)
        # Exax combines the digests of a method's files by "exclusive or".
        code = 0
        for text in self.code.values():
            code ^= int(hashlib.sha1(text.encode()).hexdigest(), 16)
        setup = {"hash": f"{code:040x}", "options": options, "jobs": jobs or {}, "exectime": {"total": 1.5}}
        (folder / "setup.json").write_text(json.dumps(setup))
        with tarfile.open(folder / "method.tar.gz", "w:gz") as archive:
            for path, text in self.code.items():
                member = tarfile.TarInfo(path)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        outputs.record(folder, ["squares.npy"], ["log.txt"], method="square", name=name)
        note_identity(folder, name.partition("/")[0], JobSpec(name, "square", options, key=key or {}))
        if finished:
            (folder / "post.json").write_text("{}")
        return folder

    def history(self):
        return History(self.folder, self.root)

    def why(self, jobs=None, name="mini/square", **options):
        slots = dict.fromkeys(jobs or {}, "other")
        return self.history().why(JobSpec("square", "square", {**OPTIONS, **options}, slots), name, jobs)


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path)


# Why a job runs.


def test_the_first_is_new(workdir):
    assert workdir.why() == ["new"]
    workdir.job(0, name="mini/cube", options={"n": 3})
    assert workdir.why() == ["new"]


def test_the_same_is_reused(workdir):
    workdir.job(0)
    assert workdir.why() == []


def test_a_job_of_another_name_or_an_older_one_is_reused(workdir):
    workdir.job(0, name="other/square")
    workdir.job(1, options={**OPTIONS, "n": 7})
    assert workdir.why() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 3}, ["option n: 2 -> 3"]),
        ({"space": {"high": 9, "low": 1}}, ["option space.high: 5 -> 9"]),
        ({"space": {"low": 1}}, ["option space.high: 5 -> null"]),
        ({"names": ["a", "c"]}, ['option names: + "c", - "b"']),
        ({"names": ["b", "a"]}, ["option names: another order"]),
        ({"n": 3, "names": []}, ['option names: - "a", - "b"', "option n: 2 -> 3"]),
        # Of a share of columns and a number of them.
        ({"n": 2.0}, ["option n: 2 -> 2.0"]),
        ({"space": {"high": 5, "low": 1.0}}, ["option space.low: 1 -> 1.0"]),
        ({"names": ["a", "b", True]}, ["option names: + true"]),
        ({"n": "x" * 90}, ['option n: 2 -> "' + "x" * 36 + "..."]),
    ],
)
def test_a_changed_option_is_named(workdir, options, said):
    workdir.job(0)
    assert sorted(workdir.why(**options)) == sorted(said)


def test_changed_code_is_named_by_file_and_package(workdir):
    workdir.job(0)
    changed = MANIFEST.replace("aa11", "cc33").replace("numpy 2.4.0", "numpy 2.5.0") + "scipy 1.17\n"
    workdir.write_code(manifest=changed)
    assert workdir.why() == ["cortax/squares.py changed", "numpy 2.4.0 -> 2.5.0", "scipy is new"]
    workdir.write_code()
    assert workdir.why() == []


def test_a_change_that_no_manifest_shows_is_in_the_method(workdir):
    workdir.job(0)
    workdir.write_code(method=METHOD + "# more\n")
    assert workdir.why() == ["methods/a_square.py changed"]


def test_a_changed_input_job_is_named(workdir):
    workdir.job(0, jobs={"load": "main-3", "parts": ["main-4", "main-5"]})
    assert workdir.why({"load": "main-3", "parts": ["main-4", "main-5"]}) == []
    assert workdir.why({"load": "main-3", "parts": ["main-4", "main-6"]}) == ["inputs changed: parts"]
    assert workdir.why({"load": "main-9", "parts": ["main-4", "main-6"]}) == ["inputs changed: load, parts"]
    assert workdir.why() == [], "without the ids of the jobs only options and code count"


def test_the_comparison_is_with_the_newest_by_number(workdir):
    workdir.job(9, options={**OPTIONS, "n": 9})
    workdir.job(10, options={**OPTIONS, "n": 10})
    assert workdir.why() == ["option n: 10 -> 2"]
    newest = workdir.history().newest("square", "mini/square")
    assert (newest.id, newest.seconds) == ("main-10", 1.5)
    assert workdir.history().newest("square", "mini/cube") is None


# What was done before.


def test_blocks_and_folds_are_found_by_the_key_that_they_share(workdir):
    mine = {"parcellation": "dk", "pipeline": "ridge"}
    keys = [
        *[mine, mine | {"block": "age"}, mine | {"block": "age", "fold": "1"}, mine | {"pipeline": "ridgeline"}],
        *[mine | {"parcellation": "dk-2"}, mine | {"fold": "0"}],
    ]
    for number, key in enumerate(keys):
        workdir.job(number, options={"n": number}, results=b"%d" % number, key=key)
    workdir.job(7, options={"n": 7}, name="other/square", key=mine)
    (workdir.job(8, options={"n": 8}, key=mine) / "identity.json").unlink()  # killed before it was noted
    found = workdir.history().reusable("square", "mini", mine)
    assert found == [(keys[number], {"n": number}) for number in (5, 2, 1, 0)]
    workdir.write_code(method=METHOD + "# more\n")
    assert workdir.history().reusable("square", "mini", mine) == []


def test_the_newest_of_a_name_is_of_that_very_name(workdir):
    workdir.job(0, name="mini/square/dk/ridge")
    workdir.job(1, name="mini/square/dk/ridge@1", options={"n": 3})
    assert workdir.history().newest("square", "mini/square/dk/ridge").id == "main-0"


def test_a_finished_job_is_found_whatever_its_inputs(workdir):
    workdir.job(0, jobs={"load": "main-3"})
    history = workdir.history()
    assert history.finished(JobSpec("any", "square", OPTIONS))
    assert not history.finished(JobSpec("any", "square", {**OPTIONS, "n": 2.0})), "as for Exax: another key"
    assert not history.finished(JobSpec("any", "square", {**OPTIONS, "n": 3}))
    assert history.found(JobSpec("any", "square", OPTIONS), {"load": "main-3"}).id == "main-0"
    assert history.found(JobSpec("any", "square", OPTIONS), {"load": "main-4"}) is None


@pytest.mark.parametrize("without", [{"tune": None}, {"inner": []}])
def test_an_input_that_a_job_does_without_makes_no_difference(workdir, without):
    workdir.job(0, jobs={"load": "main-3"} | without)
    assert workdir.history().found(JobSpec("any", "square", OPTIONS), {"load": "main-3"}).id == "main-0"
    assert workdir.why({"load": "main-3"}) == []


def test_a_job_of_this_build_is_found_at_once(workdir):
    history = workdir.history()
    assert not history.finished(JobSpec("any", "square", OPTIONS))
    history.standing_for("main-0", workdir.job(0))
    assert history.finished(JobSpec("any", "square", OPTIONS))


def test_who_mends_settings_that_cannot_be_read_is_told(workdir):
    (workdir.job(0) / "setup.json").write_text("{")
    with pytest.raises(ProjectError, match=r"main-0/setup\.json: not readable .*`cortax doctor` mends it"):
        workdir.history().finished(JobSpec("any", "square", OPTIONS))


def test_the_code_that_counts_may_be_given(workdir):
    workdir.job(0)
    spec = JobSpec("any", "square", OPTIONS)
    assert History(workdir.folder, workdir.root, lambda module: MANIFEST).finished(spec)
    assert not History(workdir.folder, workdir.root, lambda module: MANIFEST + "scipy 1.17\n").finished(spec)


def test_a_job_of_another_version_stands_for_none_of_this(workdir):
    older = workdir.job(0)
    (older / "identity.json").write_text('{"study": "mini", "method": "square", "key": {}, "work": null}')
    history = workdir.history()
    assert history.standing_for("main-1", workdir.job(1, options={"n": -2})).id == "main-1"


def test_the_oldest_intact_job_of_the_same_results(workdir):
    workdir.job(0)
    workdir.job(1, options={"n": -2})
    history = workdir.history()
    past = history.found(JobSpec("any", "square", {"n": -2}), {})
    assert history.oldest(past).id == "main-0"
    (workdir.folder / "main-0" / "squares.npy").unlink()
    assert history.oldest(past).id == "main-1"
    assert history.damage(past) == []


# What does not count.


def test_unfinished_and_unreadable_jobs_are_ignored(workdir):
    workdir.job(0, finished=False)
    (workdir.job(1) / "outputs.json").unlink()
    (workdir.job(2) / "outputs.json").write_text('{"method": "squ')
    (workdir.folder / ".slices").write_text("2")
    workdir.job(3).rename(workdir.folder / "main-LATEST")
    assert workdir.why() == ["new"]


# Which job stands for the same results.


def test_the_oldest_job_with_the_same_results_stands_for_it(workdir):
    workdir.job(0, results=b"5")
    workdir.job(1, options={"n": -2})
    history = workdir.history()
    folder = workdir.job(2, log=b"other timings")
    assert history.standing_for("main-2", folder).id == "main-1"


def test_a_job_with_results_of_its_own_stands_for_itself(workdir):
    workdir.job(0, results=b"5")
    history = workdir.history()
    assert history.standing_for("main-1", workdir.job(1)).id == "main-1"
    assert history.standing_for("main-2", workdir.job(2)).id == "main-1", "a job of this build counts, too"


def gone(path):
    path.unlink()


def cut(path):
    os.truncate(path, 0)


def altered(path):
    path.write_bytes(b"5")


@pytest.mark.parametrize("harm", [gone, cut, altered])
def test_a_damaged_job_gets_its_results_back(workdir, harm, capsys):
    old = workdir.job(0)
    stamp = (old / "squares.npy").stat().st_mtime_ns
    harm(old / "squares.npy")
    history = workdir.history()
    assert history.standing_for("main-1", workdir.job(1)).id == "main-0"
    assert (old / "squares.npy").read_bytes() == b"4"
    assert (old / "squares.npy").stat().st_mtime_ns == stamp
    assert outputs.damage(old, deep_below=1e9) == []
    assert "main-0 was damaged: its results were restored from main-1" in capsys.readouterr().out


def test_a_lost_side_file_costs_nothing_below(workdir):
    """Timings and lists for people are read by no job: a job that lost one still stands for its results."""
    old = workdir.job(0, log=b"timings")
    (old / "log.txt").unlink()
    history = workdir.history()
    assert history.standing_for("main-1", workdir.job(1)).id == "main-0"
    assert not (old / "log.txt").exists()
    assert sorted(path.name for path in old.iterdir() if path.name.startswith(".")) == []


def test_a_job_of_another_method_never_stands_in(workdir):
    folder = workdir.job(0)
    outputs.record(folder, ["squares.npy"], ["log.txt"], method="cube", name="mini/square")
    history = workdir.history()
    assert history.standing_for("main-1", workdir.job(1)).id == "main-1"
