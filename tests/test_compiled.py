"""Machine code is never older than its source, not even that of a function in another file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cortax.learning.search.compiled import compiled_folder

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


@pytest.fixture
def project(tmp_path):
    for package in ("cortax", "methods"):
        shutil.copytree(SOURCE / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    search = tmp_path / "cortax" / "learning" / "search"
    (search / "helper.py").write_text(HELPER.format(number=1))
    (search / "caller.py").write_text(CALLER)
    return tmp_path


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


def test_where_it_cannot_be_kept_it_is_compiled_anew(project):
    (project / ".cortax").mkdir()
    (project / ".cortax" / "numba").touch()
    assert run(project, CALL) == ["20", "0"]
    edit(project, 2)
    assert run(project, CALL) == ["30", "0"]
    assert not list(project.rglob("*.nbi"))


def test_a_folder_a_module():
    ridge, svm = compiled_folder("cortax.learning.search.ridge"), compiled_folder("cortax.learning.search.svm")
    assert ridge != svm
    assert ridge.parent == svm.parent == SOURCE / ".cortax" / "numba"
