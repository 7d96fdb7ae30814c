"""The manifest sees every change of code that can matter, and no other."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cortax.errors import ProjectError
from cortax.project import method_modules
from cortax.provenance import closure as module
from cortax.provenance.closure import Look, changes, closure, manifest_text, sources
from cortax.provenance.closure.packages import versions
from cortax.provenance.closure.sources import source_digest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tree(tmp_path):
    """Write a project `methods.a_job -> cortax.helper -> cortax.deep.inner`."""
    files = {
        "methods/__init__.py": "",
        "methods/a_job.py": "from cortax.helper import work\n",
        "cortax/__init__.py": "",
        "cortax/helper.py": "import numpy\nfrom .deep import inner\n\ndef work():\n    return inner.ONE\n",
        "cortax/deep/__init__.py": "FLAG = 1\n",
        "cortax/deep/inner.py": "ONE = 1\n",
        "cortax/other.py": "TWO = 2\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("statement", "reached"),
    [
        ("import cortax.deep.inner", "cortax.deep.inner"),
        ("import cortax.deep.inner as i", "cortax.deep.inner"),
        ("from cortax.deep import inner", "cortax.deep.inner"),
        ("from cortax.deep.inner import ONE", "cortax.deep.inner"),
        ("from cortax import deep", "cortax.deep"),
        ("from cortax.deep import *", "cortax.deep"),
        ("def f():\n    from cortax.deep.inner import ONE", "cortax.deep.inner"),
        ("try:\n    import cortax.other\nexcept ImportError:\n    pass", "cortax.other"),
        ("from cortax.helper import work", "cortax.deep.inner"),
    ],
)
def test_every_form_of_import_is_followed(tree, statement, reached):
    (tree / "methods/a_job.py").write_text(statement + "\n")
    modules, _ = closure("methods.a_job", Look(tree))
    assert reached in modules
    assert {"methods", "methods.a_job", "cortax"} <= set(modules)


def test_what_cannot_be_reached_is_no_part(tree):
    modules, elsewhere = closure("methods.a_job", Look(tree))
    assert "cortax.other" not in modules
    assert elsewhere == {"numpy"}


@pytest.mark.parametrize(
    "name", ["methods/a_job.py", "cortax/helper.py", "cortax/deep/inner.py", "cortax/deep/__init__.py"]
)
def test_an_edit_of_any_reached_file_changes_the_manifest(tree, name):
    before = manifest_text("methods.a_job", Look(tree))
    with open(tree / name, "a") as file:
        file.write("THREE = 3\n")
    after = manifest_text("methods.a_job", Look(tree))
    assert changes(before, after) == [f"{name} changed"]


def test_swapping_or_repeating_files_changes_the_manifest(tree):
    (tree / "methods/a_job.py").write_text("import cortax.other, cortax.deep.inner\n")
    before = manifest_text("methods.a_job", Look(tree))
    one, two = tree / "cortax/other.py", tree / "cortax/deep/inner.py"
    text = one.read_text()
    one.write_text(two.read_text())
    equal = manifest_text("methods.a_job", Look(tree))
    two.write_text(text)
    swapped = manifest_text("methods.a_job", Look(tree))
    assert len({before, equal, swapped}) == 3


def test_cosmetic_edits_change_nothing():
    plain = b"def f(x):\n    return x + 1\n\nclass C:\n    a = 1\n"
    dressed = (
        b'"""Module."""\n# comment\n\ndef f( x ):\n    """Doc."""\n    return (x\n            + 1)  # why\n\n\n'
        b'class C:\n    "Doc."\n    a = 1\n'
    )
    assert source_digest(plain) == source_digest(dressed)


@pytest.mark.parametrize("edit", [b"x + 2", b"x - 1", b"1 + x"])
def test_semantic_edits_do(edit):
    assert source_digest(b"def f(x):\n    return x + 1\n") != source_digest(b"def f(x):\n    return " + edit)


def test_a_string_that_is_no_docstring_counts():
    assert source_digest(b'x = "a"\n') != source_digest(b'x = "b"\n')


def test_broken_source_is_named(tree):
    (tree / "cortax/helper.py").write_text("def (:\n")
    with pytest.raises(ProjectError, match=r"helper\.py: not valid Python"):
        manifest_text("methods.a_job", Look(tree))


def test_missing_module_is_named(tree):
    with pytest.raises(ProjectError, match=r"'methods\.a_gone' has no file"):
        closure("methods.a_gone", Look(tree))


def test_versions_reach_what_a_package_computes_with():
    found = versions({"sklearn"})
    assert {"scikit-learn", "scipy", "numpy", "joblib", "threadpoolctl"} <= set(found)
    assert not {"requests", "typer", "cortax"} & set(versions({"nilearn", "typer", "cortax"}))


def test_a_version_change_is_said(monkeypatch):
    before = "abc cortax/a.py\npython 3.11.1 CPython x86_64\nnumpy 2.0.0\n"
    after = "abc cortax/a.py\npython 3.11.1 CPython x86_64\nnumpy 2.1.0\nscipy 1.17\n"
    assert changes(before, after) == ["numpy 2.0.0 -> 2.1.0", "scipy is new"]


def test_an_edit_while_loading_is_refused(monkeypatch):
    path = str(ROOT / "cortax/errors.py")
    monkeypatch.setitem(sources._AT_START, path, (0, 0, 0, 0))
    with pytest.raises(ProjectError, match=r"edited while it was being loaded.*errors\.py"):
        module.manifest("methods.regions.a_load")


def test_no_method_depends_on_what_it_does_not_need():
    reached = {name: set(closure(method)[0]) for name, method in method_modules(ROOT).items()}
    assert "cortax.learning.scores" not in reached["tune"], "a reported metric must not cost a search"
    assert not {"cortax.learning.search.refit", "cortax.learning.search.choose"} & reached["tune"], "nor the final step"
    assert {"cortax.learning.scores", "cortax.learning.search.refit"} <= reached["evaluate"]
    for name, modules in reached.items():
        assert not {"cortax.cli", "cortax.study", "cortax.workflow.build.build", "cortax.project"} & modules, name
        drawn = {m for m in modules if m.startswith(("cortax.report", "cortax.brain.pictures"))}
        assert not drawn or name.endswith(("picture", "report")), f"{name}: another colour must not cost a number"
    for name in ("load", "parcellate", "phenotype"):
        assert not any(m.startswith("cortax.learning.search") for m in reached[name]), name


def test_what_only_orders_the_work_is_no_part_of_a_key(tree):
    """Costs may be measured anew, and retries changed, without a single job running again."""
    (tree / "cortax/workflow/plan").mkdir(parents=True)
    (tree / "cortax/workflow/__init__.py").write_text("")
    (tree / "cortax/workflows.py").write_text("")
    for name in ("__init__", "costs", "jobspec"):
        (tree / f"cortax/workflow/plan/{name}.py").write_text("")
    (tree / "methods/a_job.py").write_text(
        "from cortax.workflow.plan.costs import Costs\nimport cortax.helper, cortax.workflows\n"
    )
    before = manifest_text("methods.a_job", Look(tree))
    (tree / "cortax/workflow/plan/costs.py").write_text("import cortax.other\nTWO = 2\n")
    assert manifest_text("methods.a_job", Look(tree)) == before
    modules, _ = closure("methods.a_job", Look(tree))
    assert {"cortax.helper", "cortax.workflows"} <= set(modules)
    assert not any(name.startswith(("cortax.workflow.", "cortax.other")) for name in modules)


def test_methods_set_the_rules_before_numpy():
    code = (
        "import sys, methods; assert 'numpy' not in sys.modules, 'numpy came first';"
        "import cortax.learning.folds; assert type(cortax.learning.folds.__loader__).__name__ == '_SourceLoader';"
        "import numpy, threadpoolctl;"
        "assert {p['num_threads'] for p in threadpoolctl.threadpool_info()} == {1}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env={"OPENBLAS_NUM_THREADS": "7"})


def test_a_class_that_a_study_names_counts_with_all_that_it_imports(tree, monkeypatch):
    """Edited between plan and job, or while it is used, it stops the job."""
    monkeypatch.setattr(module, "Look", lambda: Look(tree))
    classes = ["cortax.helper:Mine", None]
    planned = module.class_code(classes)
    module.check_class_code(classes, planned)
    (tree / "cortax/deep/inner.py").write_text("ONE = -5\n")
    with pytest.raises(ProjectError, match=r"cortax\.helper:Mine.*edited since the build began"):
        module.check_class_code(classes, planned)


def test_a_class_from_nowhere_is_refused():
    with pytest.raises(ProjectError, match="nowhere: a pipeline's class must come from"):
        module.class_code(["nowhere:Mine"])


def test_a_star_may_stand_for_modules(tree):
    (tree / "cortax/deep/__init__.py").write_text("__all__ = ['inner']\n")
    (tree / "methods/a_job.py").write_text("from cortax.deep import *\n")
    assert "cortax.deep.inner" in closure("methods.a_job", Look(tree))[0]


# Where the project's code is.


def python(code, cwd, **env):
    """Run code in a process of its own, with this cortax installed beside the project."""
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def users(tmp_path):
    """Write a project in a folder of its own, without a `cortax` in it."""
    files = {
        "accelerator.conf": "",
        "mine.py": "import package.part, numpy\nfrom cortax.errors import CortaxError\n",
        "package/__init__.py": "",
        "package/part.py": "def late():\n    import later, broken\n",
        "later.py": "",
        "broken.py": "raise SystemError\n",
        ".venv/lib/site-packages/other/__init__.py": "",
        "folder/notes.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_project_of_the_users_reaches_its_modules_and_the_installed_library(users):
    (users / "mine.py").write_text("import package.part, numpy, other, folder.notes\nimport cortax.errors\n")
    modules, elsewhere = closure("mine", Look(users))
    assert {"mine", "package", "package.part", "later", "broken", "cortax"} == {
        m for m in modules if "cortax." not in m
    }
    assert modules["cortax.errors"] == ROOT / "cortax/errors.py"
    assert {"numpy", "other", "folder"} <= elsewhere
    listed = module.manifest_entries(manifest_text("mine", Look(users)))
    assert {"mine.py", "package/__init__.py", "package/part.py", "cortax/errors.py"} <= set(listed)


def test_a_package_that_adds_workloads_counts_by_its_source(users, tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    (site / "theirs").mkdir()
    (site / "theirs/__init__.py").write_text("import scipy\n")
    (site / "theirs-1.0.dist-info").mkdir()
    (site / "theirs-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (site / "theirs-1.0.dist-info/entry_points.txt").write_text("[cortax.workloads]\nsleep = theirs.work:workload\n")
    (users / "mine.py").write_text("import theirs\n")
    code = "from cortax.provenance.closure import closure; print(*map(sorted, closure('mine')))"
    assert "".join(python(code, users, PYTHONPATH=f"{ROOT}{os.pathsep}{site}")) == "['mine','theirs']['scipy']"


def test_what_is_remembered_lies_in_the_project_or_in_the_users_cache(users, tmp_path_factory):
    code = "from cortax.provenance.closure import home; print(home())"
    nowhere = tmp_path_factory.mktemp("nowhere")
    assert python(code, users / "package") == [str(users / ".cortax")]
    assert python(code, nowhere, CORTAX_ROOT=str(users)) == [str(users / ".cortax")]
    assert python(code, nowhere) == [str(nowhere / ".cache/cortax")]
    assert python(code, nowhere, XDG_CACHE_HOME="/cache") == ["/cache/cortax"]


RUNNER = """
import os, sys
sys.path.insert(0, {users!r})
import methods
from cortax.provenance.closure import manifest
manifest("mine")
assert "package.part" not in sys.modules
def forked(code):
    child = os.fork()
    if not child:
        os._exit(eval(code))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(forked("'package.part' in sys.modules and 'later' in sys.modules and 'broken' not in sys.modules"))
print(os.environ.get("CORTAX_ROOT"))
"""


@pytest.mark.parametrize(("name", "loads"), [("accelerator/runner.py", True), ("other/script.py", False)])
def test_the_runner_loads_what_its_jobs_need_before_the_first(users, tmp_path_factory, name, loads):
    script = tmp_path_factory.mktemp("scripts") / name
    script.parent.mkdir()
    script.write_text(RUNNER.format(users=str(users)))
    done = subprocess.run(
        [sys.executable, script], cwd=users, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.split() == (["1", str(users)] if loads else ["0", "None"]), done.stderr


# Sources that change.


def test_what_is_loaded_must_be_what_was_promised(users, monkeypatch):
    monkeypatch.setattr(sources, "_promised", {})
    monkeypatch.setattr(sources, "_loaded", {})
    path = users / "later.py"
    path.write_text("ONE = 1\n")
    sources.promise({"later": path}, {"later": sources.look_at("later", path)})
    sources.check_loaded(str(path), b"ONE = 1\n")
    sources.check_loaded(str(path), b"ONE = 1  # a remark\n")
    with pytest.raises(ProjectError, match=r"later\.py: edited since the build began; start it again"):
        sources.check_loaded(str(path), b"ONE = 2\n")
    path.write_text("ONE = 3\n")
    with pytest.raises(ProjectError, match=r"edited while it was being loaded.*later\.py"):
        sources.promise({"later": path}, {"later": sources.look_at("later", path)})


def test_a_source_is_read_again_unless_it_is_provably_the_same(users):
    path, past = users / "later.py", time.time() - 60
    os.utime(path, (past, past))
    before = sources.look_at("later", path)
    path.write_text("ONE = 1\n")
    os.utime(path, (past, past))
    assert sources.look_at("later", path).sha256 != before.sha256


def test_code_is_loaded_just_before_a_fork_without_upsetting_it():
    """Handlers that the loaded code registers are called by halves for this very fork, and threads still start."""
    code = """
import os, sys
from cortax.provenance import closure
closure._pending.add("concurrent.futures.thread")
os.register_at_fork(before=closure.load_promised)
assert "concurrent.futures.thread" not in sys.modules
child = os.fork()
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(1) as pool:
    assert pool.submit(int, "3").result(timeout=9) == 3
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_statistic_costs_no_decoder():
    reached = {name: set(closure(method)[0]) for name, method in method_modules(ROOT).items()}
    home = "cortax.workloads.decoding"
    for name in ("epochs", "features", "decode", "generalise"):
        assert not {f"{home}.{part}" for part in ("scoring", "maps", "inference", "group", "summaries")} & reached[name]
    assert f"{home}.hinge" not in reached["epochs"] | reached["features"]
    assert f"{home}.generalising" not in reached["decode"]
    assert f"{home}.inference" not in reached["decoding_null"]
