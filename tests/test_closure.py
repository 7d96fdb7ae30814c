"""The manifest sees every change of code that can matter, and no other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cortax.errors import ProjectError
from cortax.provenance import closure as module
from cortax.provenance.closure import changes, closure, manifest_text, source_digest, versions

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
    modules, _ = closure("methods.a_job", tree)
    assert reached in modules
    assert {"methods", "methods.a_job", "cortax"} <= set(modules)


def test_what_cannot_be_reached_is_no_part(tree):
    modules, elsewhere = closure("methods.a_job", tree)
    assert "cortax.other" not in modules
    assert elsewhere == {"numpy"}


@pytest.mark.parametrize(
    "name", ["methods/a_job.py", "cortax/helper.py", "cortax/deep/inner.py", "cortax/deep/__init__.py"]
)
def test_an_edit_of_any_reached_file_changes_the_manifest(tree, name):
    before = manifest_text("methods.a_job", tree)
    with open(tree / name, "a") as file:
        file.write("THREE = 3\n")
    after = manifest_text("methods.a_job", tree)
    assert changes(before, after) == [f"{name} changed"]


def test_swapping_or_repeating_files_changes_the_manifest(tree):
    (tree / "methods/a_job.py").write_text("import cortax.other, cortax.deep.inner\n")
    before = manifest_text("methods.a_job", tree)
    one, two = tree / "cortax/other.py", tree / "cortax/deep/inner.py"
    text = one.read_text()
    one.write_text(two.read_text())
    equal = manifest_text("methods.a_job", tree)
    two.write_text(text)
    swapped = manifest_text("methods.a_job", tree)
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
        manifest_text("methods.a_job", tree)


def test_missing_module_is_named(tree):
    with pytest.raises(ProjectError, match=r"'methods\.a_gone' has no file"):
        closure("methods.a_gone", tree)


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
    monkeypatch.setitem(module._AT_START, path, (0, 0, 0, 0))
    with pytest.raises(ProjectError, match=r"edited while it was being loaded.*errors\.py"):
        module.manifest("methods.a_load")


def test_no_method_depends_on_what_it_does_not_need():
    reached = {path.stem[2:]: set(closure(f"methods.{path.stem}")[0]) for path in (ROOT / "methods").glob("a_*.py")}
    assert "cortax.scores" not in reached["tune"], "a reported metric must not cost a search"
    assert not {"cortax.search.evaluate", "cortax.search.choose"} & reached["tune"], "nor the final step"
    assert {"cortax.scores", "cortax.search.evaluate"} <= reached["evaluate"]
    for name, modules in reached.items():
        assert not {"cortax.cli", "cortax.study", "cortax.grid.build", "cortax.project"} & modules, name
        drawn = {m for m in modules if m.startswith(("cortax.report", "cortax.brains"))}
        assert not drawn or name in ("picture", "report"), f"{name}: another colour must not cost a number"
    for name in ("load", "parcellate", "phenotype"):
        assert not any(m.startswith("cortax.search") for m in reached[name]), name


def test_what_only_orders_the_work_is_no_part_of_a_key(tree):
    """Costs may be measured anew without a single job running again; and these modules reach nothing that computes."""
    (tree / "cortax/grid/planning").mkdir(parents=True)
    (tree / "cortax/grid/__init__.py").write_text("")
    for name in ("__init__", "costs", "cost_table", "jobspec"):
        (tree / f"cortax/grid/planning/{name}.py").write_text("")
    (tree / "methods/a_job.py").write_text("from cortax.grid.planning.costs import Costs\nimport cortax.helper\n")
    before = manifest_text("methods.a_job", tree)
    (tree / "cortax/grid/planning/costs.py").write_text("import cortax.other\nTWO = 2\n")
    assert manifest_text("methods.a_job", tree) == before
    assert "cortax.helper" in closure("methods.a_job", tree)[0]
    for name in sorted(module.ASIDE):
        path = ROOT / name.replace(".", "/")
        source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
        imported = set(re.findall(r"^(?:from|import) (cortax[.\w]*)", source, re.M))
        assert not {other for other in imported if other.startswith(("cortax.search", "cortax.data"))}, name


def test_methods_set_the_rules_before_numpy():
    code = (
        "import sys, methods; assert 'numpy' not in sys.modules, 'numpy came first';"
        "import cortax.folds; assert type(cortax.folds.__loader__).__name__ == '_SourceLoader';"
        "import numpy, threadpoolctl;"
        "assert {p['num_threads'] for p in threadpoolctl.threadpool_info()} == {1}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env={"OPENBLAS_NUM_THREADS": "7"})


def test_a_class_that_a_study_names_counts_with_all_that_it_imports(tree, monkeypatch):
    """Edited between plan and job, or while it is used, it stops the job."""
    monkeypatch.setattr(module, "manifest_text", lambda name: manifest_text(name, tree))
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
    assert "cortax.deep.inner" in closure("methods.a_job", tree)[0]
