"""Machine code is never older than its source, not even that of a function in another file."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cortax.learning.search.compiled import compiled_folder
from cortax.provenance.closure import user_cache

SOURCE = Path(__file__).resolve().parents[1]
HELPER = """
from cortax.learning.search.compiled import compiled

@compiled(__name__)
def helper(x):
    return x + {number}
"""
CALLER = """
from cortax.learning.search.compiled import compiled
from cortax.learning.search.helper import helper

@compiled(__name__)
def caller(x):
    return 10 * helper(x)
"""


def write_project(root):
    for package in ("cortax", "methods"):
        shutil.copytree(SOURCE / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "accelerator.conf").touch()
    search = root / "cortax" / "learning" / "search"
    (search / "helper.py").write_text(HELPER.format(number=1))
    (search / "caller.py").write_text(CALLER)
    return root


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_project(tmp_path / "one")


def run(project, code):
    env = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


CALL = "from cortax.learning.search.caller import caller; print(caller(1), sum(caller.stats.cache_hits.values()))"


def edit(project, number):
    path = project / "cortax" / "learning" / "search" / "helper.py"
    path.write_text(HELPER.format(number=number))


def test_kept_and_found_again_until_a_helper_in_another_file_changes(project):
    assert run(project, CALL) == ["20", "0"]
    assert run(project, CALL) == ["20", "1"]
    edit(project, 2)
    assert run(project, CALL) == ["30", "0"]
    edit(project, 1)
    assert run(project, CALL) == ["20", "1"]


def test_code_of_before_an_edit_is_not_kept_for_the_one_after(project):
    """The helper is loaded, then edited; whoever is compiled with it now must not be found by the next process."""
    path = project / "cortax" / "learning" / "search" / "helper.py"
    said = run(
        project,
        "import cortax.learning.search.helper\n"
        f"path = {str(path)!r}\n"
        "text = open(path).read().replace('x + 1', 'x + 2')\n"
        "open(path, 'w').write(text)\n" + CALL,
    )
    assert said == ["20", "0"], "this process began before the edit"
    assert run(project, CALL) == ["30", "0"]


def test_another_project_with_the_same_sources_compiles_nothing(project, tmp_path):
    assert run(project, CALL) == ["20", "0"]
    assert run(write_project(tmp_path / "two"), CALL) == ["20", "1"]


def test_where_there_is_no_cache_of_the_user_it_is_kept_in_the_project(project, tmp_path):
    (tmp_path / "cache").touch()
    assert run(project, CALL) == ["20", "0"]
    assert list((project / ".cortax/numba").rglob("*.nbi"))
    assert run(project, CALL) == ["20", "1"]


def test_where_it_cannot_be_kept_it_is_compiled_anew(project, tmp_path):
    (tmp_path / "cache").touch()
    (project / ".cortax").mkdir()
    (project / ".cortax" / "numba").touch()
    assert run(project, CALL) == ["20", "0"]
    edit(project, 2)
    assert run(project, CALL) == ["30", "0"]
    assert not list(project.rglob("*.nbi"))


@pytest.mark.parametrize("harm", [b"", b"\x80\x04", None], ids=["empty", "cut", "half"])
def test_files_that_were_cut_are_written_anew(project, tmp_path, harm):
    run(project, CALL)
    for path in [*tmp_path.rglob("*.nbi"), *tmp_path.rglob("*.nbc")]:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if harm is None else harm)
    assert run(project, CALL) == ["20", "0"]
    assert run(project, CALL) == ["20", "1"]


# numba numbers its files by a list that another process may just be writing, too; here it takes its time.
SLOWLY = """
import time
from numba.core.caching import IndexDataCacheFile as File
save = File._save_index
File._save_index = lambda self, overloads: (time.sleep(3), save(self, overloads))
"""


def test_processes_that_compile_for_different_types_at_once_find_their_own_code(project):
    kinds = {"float64(0.5)": "1.5", "int8(3)": "4", "complex128(2j)": "(1+2j)"}
    calls = [f"import numpy\nfrom cortax.learning.search.helper import helper\nprint(helper(numpy.{x}))" for x in kinds]
    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(lambda call: run(project, SLOWLY + call), calls))
    for call, wanted in zip(calls, kinds.values(), strict=True):
        assert run(project, f"{call}\nprint(sum(helper.stats.cache_hits.values()))") == [wanted, "1"]


def test_a_folder_a_module():
    ridge, svm = compiled_folder("cortax.learning.search.ridge"), compiled_folder("cortax.learning.search.svm")
    assert ridge != svm
    assert ridge.parent == svm.parent == user_cache() / "numba"
