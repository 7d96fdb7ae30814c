"""What own code reads besides what it imports by name: seen, noted, and told when it has changed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from cortax.errors import ProjectError
from cortax.provenance import outputs, reads
from cortax.provenance.closure import sources

OWN = """
import importlib, json, os
from pathlib import Path
HERE = Path(__file__).parent
def read(name, how="open"):
    path = HERE / name
    if how == "os":
        file = os.open(path, os.O_RDONLY); os.close(file)
    elif how == "numpy":
        import numpy; return numpy.load(path)
    elif how == "pandas":
        import pandas; return pandas.read_csv(path)
    elif how == "import":
        return importlib.import_module("lab." + name)
    elif how == "try":
        try: path.read_text()
        except FileNotFoundError: pass
    else:
        return path.read_text()
def write(name): (HERE / name).write_text("written")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with own code, watched by this process."""
    root = tmp_path / "project"
    (root / "lab").mkdir(parents=True)
    (root / "accelerator.conf").write_text("")
    (root / "lab/__init__.py").write_text("")
    (root / "lab/own.py").write_text(OWN)
    (root / "lab/table.csv").write_text("a,b\n1,2\n")
    (root / "lab/helper.py").write_text("K = 1.0\n")
    monkeypatch.syspath_prepend(str(root))
    importlib.invalidate_caches()
    reads.watch(root)
    yield root
    monkeypatch.setattr(reads._watch, "root", "\0")
    reads.forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[name]


def own(project):
    module = importlib.import_module("lab.own")
    reads.forget()
    return module


@pytest.mark.parametrize(
    ("name", "how"), [("table.csv", "open"), ("table.csv", "os"), ("table.csv", "pandas"), ("helper", "import")]
)
def test_what_own_code_opens_is_noted(project, name, how):
    own(project).read(name, how)
    path = f"lab/{name}.py" if how == "import" else f"lab/{name}"
    assert reads.noted() == {path: reads.digest_of_read(project / path)}
    assert reads.changed_reads(reads.noted(), project) == []
    (project / path).write_text("K = 5000.0\n")
    assert reads.changed_reads(reads.noted(), project) == [path]


def test_a_comment_in_a_helper_is_no_change(project):
    own(project).read("helper", "import")
    before = reads.noted()
    (project / "lab/helper.py").write_text("K = 1.0  # still\n")
    assert reads.changed_reads(before, project) == []
    (project / "lab/helper.py").write_text("K = \n")
    assert reads.changed_reads(before, project) == ["lab/helper.py"]


def test_a_file_that_was_not_there_is_noted_too(project):
    own(project).read("later.txt", "try")
    before = reads.noted()
    assert reads.changed_reads(before, project) == []
    (project / "lab/later.txt").write_text("now")
    assert reads.changed_reads(before, project) == ["lab/later.txt"]


def test_what_others_read_what_is_written_and_what_lies_elsewhere_is_not_noted(project, tmp_path):
    module = own(project)
    (project / "lab/table.csv").read_text()
    module.write("new.txt")
    (tmp_path / "outside.txt").write_text("")
    module.read(tmp_path / "outside.txt")
    for folder in (".cortax", "workdirs", "results"):
        (project / folder).mkdir()
        (project / folder / "x").write_text("")
        module.read(project / folder / "x")
    assert reads.noted() == {}


def test_what_is_digested_for_own_methods_is_not_noted(project):
    """A method of the project's own calls `manifest`, which reads all that it imports."""
    (project / "lab/own.py").write_text(OWN + "from cortax.provenance.files import file_digest\n")
    own(project).file_digest(project / "lab/table.csv")
    assert reads.noted() == {}


def test_sources_that_manifests_hold_are_not_noted(project, monkeypatch):
    """All methods are loaded in one process, before jobs are forked: an edit of one would run all of them again."""
    path = os.path.realpath(project / "lab/helper.py")
    monkeypatch.setitem(sources._promised, path, ("", ""))
    own(project).read("helper", "import")
    own(project).read("table.csv")
    assert set(reads.noted()) == {"lab/table.csv"}


def test_forks_tell_by_the_file(project, tmp_path):
    module = own(project)
    reads.keep_in(tmp_path / "sink")
    if (child := os.fork()) == 0:
        module.read("table.csv")
        os._exit(0)
    os.waitpid(child, 0)
    assert reads.noted() == {"lab/table.csv": reads.digest_of_read(project / "lab/table.csv")}
    with open(tmp_path / "sink", "a") as file:
        file.write('["lab/ta')  # whoever wrote it was killed
    assert set(reads.noted()) == {"lab/table.csv"}


def test_a_file_that_changes_while_a_job_runs_stops_it(project, tmp_path):
    module = own(project)
    module.read("table.csv")
    (project / "lab/table.csv").write_text("a,b\n3,4444\n")
    module.read("table.csv")
    (tmp_path / "result").write_text("")
    with pytest.raises(ProjectError, match=r"lab/table\.csv: changed while the job ran that reads it"):
        outputs.record(tmp_path, ["result"], method="m", name="n")


def test_the_record_of_a_job_has_its_reads(project, tmp_path):
    own(project).read("table.csv")
    (tmp_path / "result").write_text("")
    made = outputs.record(tmp_path, ["result"], method="m", name="n")
    assert outputs.read(tmp_path).reads == made.reads == reads.noted()
    reads.forget()
    assert outputs.record(tmp_path, ["result"], method="m", name="n").digest == made.digest


def test_nothing_is_watched_where_no_job_runs():
    code = "import methods; from cortax.provenance import reads; assert reads._watch.root == ''"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=os.path.dirname(os.path.dirname(__file__)))


VARIABLES = """
import os, subprocess
def ask(how):
    if how == "get": return os.environ.get("LAB_K", "1")
    if how == "getenv": return os.getenv("LAB_K")
    if how == "in": return "LAB_K" in os.environ
    if how == "bytes": return os.environb.get(b"LAB_K")
    if how == "copy": return dict(os.environ)["LAB_K"] if "LAB_K" in dict(os.environ) else None
    if how == "set": os.environ.setdefault("LAB_K", "7"); return os.environ["LAB_K"]
    if how == "own": os.environ["LAB_K"] = "7"; return os.environ["LAB_K"]
    if how == "deleted": os.environ["LAB_K"] = "7"; del os.environ["LAB_K"]; return os.getenv("LAB_K")
    if how == "library": return os.path.expanduser("~"), os.environ.get("OMP_NUM_THREADS")
"""


@pytest.mark.parametrize("before", [None, "1"])
@pytest.mark.parametrize("how", ["get", "getenv", "in", "bytes", "copy", "set"])
def test_a_variable_that_own_code_asks_for_is_noted(project, monkeypatch, how, before):
    (project / "lab/own.py").write_text(VARIABLES)
    module = own(project)

    def now(value):
        monkeypatch.delenv("LAB_K", raising=False) if value is None else monkeypatch.setenv("LAB_K", value)
        reads._watch.assigned.clear()  # this test stands for the shell

    now(before)
    module.ask(how)
    found = reads.noted()
    if how == "copy":  # all of it; of what is not there, nothing
        assert ("$LAB_K" in found) == (before is not None)
        assert "$PATH" in found
        assert "$PWD" not in found
    else:
        assert set(found) == {"$LAB_K"}
    assert "$LAB_K" not in found or found["$LAB_K"] != before  # not the value itself, which may be a secret
    now(before)
    assert reads.changed_reads(found, project) == []
    now("2")
    expected = ["$LAB_K"] if "$LAB_K" in found else []
    assert reads.changed_reads(found, project) == reads.changed_variables(found, project) == expected


@pytest.mark.parametrize("how", ["own", "deleted", "library"])
def test_variables_of_its_own_and_of_libraries_are_not_noted(project, how):
    (project / "lab/own.py").write_text(VARIABLES)
    own(project).ask(how)
    assert reads.noted() == {}


def test_a_variable_that_workers_have_otherwise_stops_the_job(project, tmp_path, monkeypatch):
    (project / "lab/own.py").write_text(VARIABLES)
    module = own(project)
    reads.keep_in(tmp_path / "sink")
    monkeypatch.setenv("LAB_K", "1")
    reads._watch.assigned.clear()
    if (child := os.fork()) == 0:
        os.environ["LAB_K"] = "2"
        reads._watch.assigned.clear()
        module.ask("get")
        os._exit(0)
    os.waitpid(child, 0)
    module.ask("get")
    with pytest.raises(ProjectError, match=r"\$LAB_K: changed while the job ran that reads it, or workers have others"):
        reads.noted()


def test_where_no_project_is_watched_no_file_is_own_code():
    assert reads._watch.root == ""
    assert reads._own(__file__) == ""
