"""The README's commands, run in a fresh copy, print what it says they print."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from documents import assert_shape, transcripts

SOURCE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clone():
    """What git would hand out: the files that are tracked or about to be."""
    root = Path(tempfile.mkdtemp(prefix="cx"))
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=SOURCE,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (SOURCE / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, root / name)
    # What `make` has just installed here is what it would install there.
    (root / ".venv").symlink_to(sys.prefix)
    yield root
    subprocess.run([".venv/bin/cortax", "down"], cwd=root, env=_environment(root), capture_output=True)
    shutil.rmtree(root, ignore_errors=True)


def _environment(root):
    """Of a shell in a checkout whose `.venv` knows the code of another one."""
    kept = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV")}
    return {**kept, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(root / "cache")}


def began(root):
    """When the first job of a project began, in seconds since the epoch."""
    return min(json.loads(path.read_text())["starttime"] for path in (root / "workdirs/main").glob("main-*/setup.json"))


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_the_readme_is_true(clone):
    env = _environment(clone)
    built = subprocess.run(
        ["make", "--old-file=.venv/.installed", "build"], cwd=clone, env=env, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    assert "lottery" in built.stdout
    assert "SIMULATED" in built.stdout
    compiled = [path for path in (clone / "cache").rglob("*.nbc") if path.stat().st_mtime > began(clone)]
    assert compiled == [], "`cortax compile` left this to jobs"
    blocks = re.findall(r"```console\n(.*?)```", (clone / "README.md").read_text(), re.S)
    commands = [found for block in blocks for found in transcripts(block)]
    assert len(commands) >= 8
    for command, shown in commands:
        done = subprocess.run(command, shell=True, cwd=clone, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        assert_shape(shown, done.stdout.splitlines(), command)


def test_the_overview_names_every_folder_that_holds_code():
    listed = subprocess.run(["git", "ls-files"], cwd=SOURCE, capture_output=True, check=True, text=True).stdout.split()
    text = (SOURCE / "OVERVIEW.md").read_text()
    folders = {f"{Path(name).parent}/" for name in listed if name.endswith((".py", ".css", ".html", ".js", "/run"))}
    named = re.findall(r"^\| `([^`]+/)` \|", text, re.M)
    assert sorted(folders - set(named)) == []
    assert len(named) == len(set(named))
    paths = named + re.findall(r"`((?:cortax|docs|methods|tests)/[\w./-]+)`", text)
    assert [name for name in paths if not (SOURCE / name).exists()] == []


def test_files_that_the_readme_promises_are_there():
    text = (SOURCE / "README.md").read_text()
    names = re.findall(r"`((?:tests/)?(?:e2e/)?test_\w+\.py|(?:docs|benchmarks|studies)/[\w./-]+\.\w+)`", text)
    assert len(names) > 10
    tests = {path.name for path in (SOURCE / "tests").rglob("test_*.py")}
    own = {"studies/mine.toml"}
    missing = [name for name in names if name not in own and not (SOURCE / name).exists() and name not in tests]
    assert missing == []
