"""The documentation's commands, run in the order of its pages in one project, print what the pages say."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import documents
import pandas as pd
import pytest
from conftest import BIN, SOURCE, Project
from documents import ADDED, CONTINUED, EXAMPLE
from freesurfer import write_freesurfer

LANGUAGES = ("console", "python", "toml", "text")


@pytest.fixture(scope="module")
def laboratory():
    """A checkout with FreeSurfer's folders in `input/`."""
    root = Path(tempfile.mkdtemp(prefix="cx"))
    made = Project(root)
    write_freesurfer(root)
    yield made
    made.cortax("down", "--force", check=False)
    shutil.rmtree(root, ignore_errors=True)


def _follow(project, block):
    """Do what a reader of the block would do."""
    env = {**project.env, "PATH": os.pathsep.join([str(BIN), project.env["PATH"]])}
    if block.language == "console":
        for command, shown in documents.transcripts(block.text):
            done = subprocess.run(
                ["bash", "-c", command], cwd=project.root, env=env, capture_output=True, text=True, timeout=400
            )
            assert done.returncode == 0, f"{block.page}: $ {command}\n{done.stdout}{done.stderr}"
            documents.assert_shape(shown, done.stdout.splitlines(), f"{block.page}: {command}")
    elif block.language == "text" or block.title.endswith(EXAMPLE):
        return
    elif block.title and block.title not in ("after a build", CONTINUED):
        name = block.title.removesuffix(ADDED)
        before = (project.root / name).read_text() if block.title.endswith(ADDED) else ""
        project.write(name, before + block.text)
    else:
        done = subprocess.run(
            [sys.executable, "-c", documents.script(block)],
            cwd=project.root,
            env=env,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, f"{block.page}\n{block.text}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pages_are_true(laboratory):
    for path in documents.pages():
        for block in documents.blocks(path):
            assert block.language in LANGUAGES
            _follow(laboratory, block)
    _check_columns(laboratory.root)


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=SOURCE, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    built = list((tmp_path / "site").rglob("*.html"))
    assert len(built) > len(documents.pages())
    for path in built:
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="((?:https?:)?//[^"]+)"', path.read_text())
        assert not loaded, path


def _there(names, meaning, table):
    """The columns of a row of the page; one that is `only` where it has a meaning may be missing."""
    columns = [name.strip(" `") for name in names.split(",")]
    return [column for column in columns if column in table or not meaning.strip().startswith("only")]


def _check_columns(root):
    """The columns of each table of results are those of the page that describes them."""
    page = (documents.DOCS / "reference/files.md").read_text()
    checked = 0
    for part in page.split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        name = title.strip("`")
        if not name.endswith(".parquet"):
            continue
        files = [root / "results/own" / name, *sorted((root / "workdirs/main").glob(f"main-*/{name}"))]
        found = pd.read_parquet(next(path for path in files if path.exists()))
        rows = [line.split("|") for line in body.splitlines() if line.startswith("| `")]
        told = [column for _, names, meaning, _ in rows for column in _there(names, meaning, found)]
        assert sorted(told) == sorted(found.columns), name
        checked += 1
    assert checked == 8
