"""Where a job comes from and what changed between two builds, in small workdirs made by hand."""

import io
import json
import tarfile

import pandas as pd
import pytest
from accelerator.urd import DB
from accelerator.urd import Entry as UrdEntry
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cortax import cli
from cortax.errors import ProjectError, StudyError
from cortax.provenance import outputs
from cortax.workflow.build.asking import _time_after
from cortax.workflow.lookup.comparing_builds import filed_builds, find_build, reasons, table_of_build, value_changes
from cortax.workflow.lookup.lookups import find_job, input_files, job_of, provenance
from cortax.workflow.lookup.writing import sort_table, write_table
from cortax.workflow.plan.identity import note_identity
from cortax.workflow.plan.jobspec import JobSpec
from cortax.workloads.regions import workload

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
SCORES = workload.tables["scores"]
CODE = {"cortax/learning/scores.py": A, "methods/regions/a_evaluate.py": B, "numpy": "2.4.6"}


class Workdir:
    """Jobs of a mini study, each with the record, the setup and the archive that a build would leave."""

    def __init__(self, root):
        self.root = root
        self.jobs = root / "workdirs/main"
        self.jobs.mkdir(parents=True)
        (root / "accelerator.conf").touch()

    def job(self, number, name, result="", *, options=(), jobs=(), code=CODE, ended=True):
        folder = self.jobs / f"main-{number}"
        folder.mkdir()
        method = name.partition("/")[0]
        setup = {"method": method, "caption": f"mini/{name}", "options": dict(options), "jobs": dict(jobs)}
        setup |= {"starttime": 1.7e9 + number, "datasets": {}, "hash": "0"}
        if ended:
            setup["exectime"] = {"total": 1.5}
            (folder / "post.json").write_text("{}")
        (folder / "setup.json").write_text(json.dumps(setup))
        manifest = "".join(f"{v} {k}\n" if k.endswith(".py") else f"{k} {v}\n" for k, v in code.items()).encode()
        with tarfile.open(folder / "method.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(f"methods.a_{method}.txt")
            member.size = len(manifest)
            archive.addfile(member, io.BytesIO(manifest))
        if isinstance(result, pd.DataFrame):
            result.to_parquet(folder / "scores.parquet")
            outputs.record(folder, ["scores.parquet"], method=method, name=f"mini/{name}")
        else:
            (folder / "result.txt").write_text(result)
            outputs.record(folder, ["result.txt"], method=method, name=f"mini/{name}")
        note_identity(folder, "mini", JobSpec(name, method, {}))

    def log(self, jobs):
        """Say that the last build made these."""
        (self.root / "results/mini").mkdir(parents=True, exist_ok=True)
        what = {name: {"method": name.partition("/")[0], "key": {}} for name in jobs}
        log = {"kind": "regions", "jobs": {name: f"main-{n}" for name, n in jobs.items()}, "what": what, "ran": {}}
        (self.root / "results/mini/build.json").write_text(json.dumps(log))

    def file(self, day, jobs, name="mini", *, user="me", script=0):
        about = {"timestamp": f"2026-11-{day:02d}T10:00:00.000001", "user": user, "build": name}
        listed = [[called, f"main-{n}"] for called, n in jobs.items()]
        base = DB(str(self.root / "urd.db"), verbose=False)
        base.add(UrdEntry(joblist=listed, deps={}, flags=[], caption="some ran", build_job=f"main-{script}", **about))


def scores(**values):
    """One row for each value: its name is the parcellation."""
    about = {"pipeline": "ridge", "target": "fluid", "metric": "r2", "fold": "mean"}
    return pd.DataFrame([{**about, "parcellation": name, "value": value} for name, value in values.items()])


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Two builds: an image and a metric were changed, an option of the split, numpy upgraded; a page drawn anew."""
    made = Workdir(tmp_path)
    images = {"root": "input", "inventory": A, "space": "fsaverage3"}
    made.job(1, "load", "old maps", options=images)
    (made.jobs / "main-1/inventory.txt").write_text(f"{A} sub-1/L.npy\n{B} sub-1/R.npy\nmissing sub-2/L.npy\n")
    made.job(2, "split", "folds", options={"n_outer": 3, "seed": 1})
    made.job(3, "evaluate/blocks/ridge", "old", jobs={"load": "main-1", "split": "main-2"}, options={"n": 1})
    made.job(4, "evaluate/soft/ridge", "same", jobs={"load": "main-1", "split": "main-2"})
    made.job(5, "evaluate/gone/ridge", "gone", jobs={"load": "main-1", "split": "main-2"})
    made.job(6, "scores", scores(blocks=0.1, soft=0.3, gone=0.4), jobs={"made": ["main-3", "main-4", "main-5"]})
    made.job(7, "report", "page", jobs={"made": ["main-6"]})
    first = {"load": 1, "split": 2, "evaluate/blocks/ridge": 3, "evaluate/soft/ridge": 4, "evaluate/gone/ridge": 5}
    made.file(1, first | {"scores": 6, "report": 7})
    made.job(11, "load", "new maps", options=images | {"inventory": B})
    (made.jobs / "main-11/inventory.txt").write_text(f"{A} sub-1/L.npy\n{C} sub-1/R.npy\n{A} sub-2/L.npy\n")
    made.job(12, "split", "other folds", options={"n_outer": 4, "seed": 1})
    code = CODE | {"cortax/learning/scores.py": C, "numpy": "2.5.0"}
    made.job(13, "evaluate/blocks/ridge", "new", jobs={"load": "main-11", "split": "main-12"}, code=code)
    made.job(14, "evaluate/soft/ridge", "same", jobs={"load": "main-11", "split": "main-12"}, code=code)
    made.job(15, "evaluate/more/ridge", "more", jobs={"load": "main-11", "split": "main-12"}, code=code)
    table = scores(blocks=0.3, soft=0.3, more=0.2)
    made.job(16, "scores", table, jobs={"made": ["main-13", "main-4", "main-15"]})
    made.job(17, "report", "another page", jobs={"made": ["main-16"]}, code={"cortax/report/page.py": A})
    second = {"load": 11, "split": 12, "evaluate/blocks/ridge": 13, "evaluate/soft/ridge": 14}
    made.file(2, second | {"evaluate/more/ridge": 15, "scores": 16, "report": 17})
    made.file(3, {"scores": 6}, name="another")
    made.log(second | {"evaluate/more/ridge": 15, "scores": 16, "report": 17})
    monkeypatch.chdir(tmp_path)
    return made


def test_every_reason_is_told_once_and_only_where_results_differ(built):
    before, after = find_build(built.root, "mini", "previous")
    found = [tuple(row) for row in reasons(built.root, before, after, SCORES).itertuples(index=False)]
    assert found == [
        ("code", "cortax/learning/scores.py changed", 1, "evaluate/blocks/ridge"),
        ("data", "input/sub-1/R.npy changed", 1, "load"),
        ("data", "input/sub-2/L.npy changed", 1, "load"),
        ("option", "n: 1 -> null", 1, "evaluate/blocks/ridge"),
        ("option", "n_outer: 3 -> 4", 1, "split"),
        ("version", "numpy 2.4.6 -> 2.5.0", 1, "evaluate/blocks/ridge"),
        ("job", "gone", 1, "evaluate/gone/ridge"),
        ("job", "new", 1, "evaluate/more/ridge"),
    ]


def test_results_that_differ_for_no_recorded_reason_are_said_to(built):
    built.job(23, "evaluate/blocks/ridge", "by hazard", jobs={"load": "main-11", "split": "main-12"}, code=CODE)
    built.job(24, "evaluate/blocks/ridge", "once more", jobs={"load": "main-11", "split": "main-12"}, code=CODE)
    for number, made_from in ((26, "main-23"), (27, "main-24")):
        built.job(number, "scores", scores(blocks=number / 100), jobs={"made": [made_from]})
        built.file(number, {"evaluate/blocks/ridge": number - 3, "scores": number})
    found = reasons(built.root, *find_build(built.root, "mini", "previous"), SCORES)
    assert found.values.tolist() == [["unknown", "nothing that is recorded", 1, "evaluate/blocks/ridge"]]


def test_the_largest_differences_come_first_then_what_is_new_or_gone(built):
    before, after = find_build(built.root, "mini", "2026-11-01")
    found = value_changes(table_of_build(built.root, before, SCORES), table_of_build(built.root, after, SCORES), SCORES)
    assert found[["parcellation", "what"]].values.tolist() == [["blocks", "changed"], ["gone", "gone"], ["more", "new"]]
    assert found["change"][0] == pytest.approx(0.2)
    assert found["change"][1:].isna().all()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(*[st.sampled_from([None, 0.0, -0.5, 0.25, float("nan")])] * 2), max_size=8))
def test_changes_are_those_of_a_plain_loop(pairs):
    tables = []
    for side in (0, 1):
        kept = {f"p{n}": pair[side] for n, pair in enumerate(pairs) if pair[side] is not None}
        tables.append(scores(**kept) if kept else scores(x=0.0)[:0])
    found = {row.parcellation: row.what for row in value_changes(*tables, SCORES).itertuples()}
    expected = {}
    for n, (old, new) in enumerate(pairs):
        if old is not None or new is not None:
            what = "gone" if new is None else "new" if old is None else "changed"
            if what != "changed" or (old != new and not (old != old and new != new)):
                expected[f"p{n}"] = what
    assert found == expected


@pytest.mark.parametrize(
    ("study", "wanted", "said"),
    [
        ("mini", "2025", r"no earlier build of that time; must be 'previous' or one of \['2026-11-01T10"),
        ("mini", "2026-11-02", "no earlier build of that time"),  # the newest itself
        ("another", "previous", "has 1 builds that differ: there is nothing to compare"),
        ("gone", "previous", "has 0 builds"),
    ],
)
def test_builds_that_cannot_be_compared(built, study, wanted, said):
    with pytest.raises(ProjectError, match=said):
        find_build(built.root, study, wanted)


def test_a_time_must_name_one_build(built):
    built.file(4, {"scores": 16})
    assert [build.caption for build in filed_builds(built.root, "mini")] == ["some ran"] * 3
    with pytest.raises(ProjectError, match="several builds of that time"):
        find_build(built.root, "mini", "2026-11")


def test_a_clock_that_was_ahead_makes_no_build_the_newest(built):
    built.file(29, {"scores": 6}, user="ahead", script=20)
    built.file(4, {"scores": 16}, script=30)
    assert filed_builds(built.root, "mini")[-1].jobs == {"scores": "main-16"}


@pytest.mark.parametrize("latest", ["0", "2026-11", "1999-01-01T00:00:00", "2999-12-31T23:59:59.999998"])
def test_a_new_entry_is_later_than_the_latest(latest):
    assert latest < _time_after(latest) < "3"


def test_a_build_whose_jobs_are_gone_has_no_table(built):
    (built.jobs / "main-6/identity.json").unlink()
    with pytest.raises(ProjectError, match=r"the build of 2026-11-01T.* has no scores of every parcellation"):
        table_of_build(built.root, find_build(built.root, "mini", "previous")[0], SCORES)


def test_an_altered_table_is_not_compared(built):
    (built.jobs / "main-6/scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(ProjectError, match=r"scores\.parquet has 4 bytes"):
        table_of_build(built.root, find_build(built.root, "mini", "previous")[0], SCORES)


def test_each_job_is_told_once_with_all_that_it_was_made_from(built):
    found = provenance(built.root, "main-16")
    assert list(found) == ["main-16", "main-13", "main-4", "main-15", "main-11", "main-12", "main-1", "main-2"]
    load = found["main-1"]
    assert load.input_files == {"input/sub-1/L.npy": A, "input/sub-1/R.npy": B, "input/sub-2/L.npy": "missing"}
    assert load.options == {"root": "input", "space": "fsaverage3"}
    assert (load.started, load.seconds, load.state) == ("2023-11-14 22:13:21", 1.5, "finished")
    assert found["main-13"].sources == {"cortax/learning/scores.py": C, "methods/regions/a_evaluate.py": B}
    assert found["main-13"].packages == {"numpy": "2.5.0"}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"file": "a.tsv", "digest": A}, {"a.tsv": A}),
        ({"files": ["a.csv", "b.csv"], "digests": [A, B]}, {"a.csv": A, "b.csv": B}),
        ({"atlas": {}, "digests": {"l.annot": A}}, {"l.annot": A}),
        ({"files": {"dwi": "a.nii", "bval": "a.bval"}, "digests": {"dwi": A, "bval": B}}, {"a.nii": A, "a.bval": B}),
        ({"files": {"encoding": "a.edf"}, "digests": {"a.edf": A}}, {"a.edf": A}),
        ({"root": "input", "inventory": A}, {"input/*": A}),
        ({"seed": 1}, {}),
    ],
)
def test_input_files_of_every_kind_of_job(options, found):
    assert input_files(options) == found


def test_solvers_that_a_study_names_count_as_code(built):
    built.job(30, "tune/blocks/ridge", options={"code": {"cortax.learning.search.ridge": A, "xgboost": "3.0"}}, code={})
    made = job_of(built.jobs / "main-30")
    assert (made.sources, made.packages) == ({"cortax.learning.search.ridge and its imports": A}, {"xgboost": "3.0"})
    assert made.options == {}


def test_a_job_that_did_not_end_well_is_shown_as_such(built):
    built.job(31, "tune/soft/ridge", ended=False)
    (built.jobs / "main-31/method.tar.gz").write_bytes(b"\x1f\x8b")  # cut short
    made = job_of(built.jobs / "main-31")
    assert (made.seconds, made.sources, made.results) == (None, {}, {})
    assert "did not end well" in made.state


def test_of_several_jobs_of_a_name_the_one_that_results_rest_on_is_meant(built):
    (built.root / "results/mini/build.json").unlink()
    assert find_job(built.root, "mini/evaluate/blocks/ridge") == "main-13"
    built.log({"evaluate/blocks/ridge": 3})
    assert find_job(built.root, "mini/evaluate/blocks/ridge") == "main-3"
    assert find_job(built.root, "main-13") == "main-13"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("main-99", "main-99: no such job in .*; the newest is main-17"),
        ("mini/evaluate/block/ridge", "no job of this name; the nearest are .*mini/evaluate/blocks/ridge"),
        ("?", "names look like demo/tune"),
    ],
)
def test_jobs_that_are_not_there(built, wanted, said):
    with pytest.raises(ProjectError, match=said):
        find_job(built.root, wanted)


def test_a_job_whose_input_is_gone_says_so(built):
    (built.jobs / "main-2/setup.json").unlink()
    with pytest.raises(ProjectError, match=r"main-2: cannot be read .*cortax gc"):
        provenance(built.root, "main-4")


def run(*arguments):
    return CliRunner().invoke(cli.app, list(arguments))


def test_show_is_a_tree_in_which_a_job_is_told_once(built):
    text = run("show", "main-16").stdout
    assert text.splitlines()[0] == "mini/scores main-16, scores, 2023-11-14 22:13:36 UTC, 1.5 s"
    assert text.count("space = fsaverage3") == 2  # of both loads
    assert "load: mini/load main-11 (see above)" in text
    assert f"input/sub-1/R.npy sha256 {C[:12]}" in text
    assert "packages: numpy 2.4.6" in text
    found = json.loads(run("show", "main-16", "--json").stdout)
    assert found["job"] == "main-16"
    assert found["jobs"]["main-16"]["inputs"] == {"made": ["main-13", "main-4", "main-15"]}


def test_show_tells_of_long_text_only_how_long_it_is(built):
    built.job(32, "volume/sub-1", options={"voxels": "eJxj" * 500})
    assert "voxels = eJxjeJxj... (2000 letters in all)" in run("show", "main-32").stdout


def test_against_prints_changes_builds_and_reasons(built):
    text = run("results", "mini", "--against", "previous").stdout
    assert "changed  0.100   0.300  +0.2" in text
    assert "2026-11-01T10:00:00.000001 (some ran) -> 2026-11-02T10:00:00.000001 (some ran)" in text
    assert "of 3 values, 1 are the same to the last digit" in text
    assert "code        cortax/learning/scores.py changed  evaluate/blocks/ridge" in text
    assert "0 rows" in run("results", "mini", "--against", "previous", "--where", "parcellation=soft").stdout


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([1.0, 2.0, float("nan")])), max_size=12),
    st.lists(st.sampled_from(["name", "-name", "value", "-value"]), max_size=2, unique_by=lambda key: key.strip("-")),
)
def test_sorting_is_that_of_a_plain_loop(rows, keys):
    table = pd.DataFrame(rows, columns=["name", "value"]).assign(place=range(len(rows)))
    found = sort_table(table, keys)["place"].tolist()
    expected = list(range(len(rows)))
    for key in reversed(keys):
        column = table[key.removeprefix("-")]
        falls = key.startswith("-")
        there = sorted((n for n in expected if column[n] == column[n]), key=lambda n: column[n], reverse=falls)
        expected = there + [n for n in expected if column[n] != column[n]]
    assert found == expected


def test_tables_are_written_with_every_digit_and_read_back(tmp_path):
    table = pd.DataFrame({"target": ["a_b", "50%"], "value": [1 / 3, float("nan")]})
    write_table(table, tmp_path / "t.csv")
    write_table(table, tmp_path / "t.parquet")
    write_table(table, tmp_path / "t.tex")
    for found in (pd.read_csv(tmp_path / "t.csv"), pd.read_parquet(tmp_path / "t.parquet")):
        pd.testing.assert_frame_equal(found, table, check_exact=True, check_dtype=False)
    text = (tmp_path / "t.tex").read_text()
    assert r"a\_b & 0.333 \\" in text
    assert r"50\% & -- \\" in text
    assert r"\toprule" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.parquet", "t.tex"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("t.xlsx", r"ending got '\.xlsx', must be one of"), ("none/t.csv", "cannot be written")],
)
def test_files_that_cannot_be_written(tmp_path, name, said):
    with pytest.raises(ProjectError, match=said):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_sorting_by_what_is_not_there():
    with pytest.raises(StudyError, match=r"--sort 'valu': got 'valu', must be one of .* did you mean 'value'"):
        sort_table(pd.DataFrame({"value": [1.0]}), ["-valu"])
