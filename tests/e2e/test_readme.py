"""The README's commands, run in a fresh copy with an environment of its own, print what it says they print."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]


def _shape(line):
    """A line without what may differ from run to run: numbers, widths, estimates."""
    line = re.sub(r"\x1b\[[0-9;]*[mK]", "", line)
    line = re.sub(r" ?\(about [^)]*left\)", "", line)
    line = re.sub(r"-?\d+(\.\d+)*", "N", line)
    line = re.sub(r"\bN (seconds?|minutes?)", "N seconds", line)
    line = re.sub(r"\s+", " ", line).strip()
    # Exax calls a job that took a while MAKE, and tells its time elsewhere.
    return re.sub(r"(MAKE mainN|DONE mainN N seconds)$", "DONE mainN", line)


def _transcripts(text):
    """Pairs of a command and the lines that the README shows of its output."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def _assert_shape(shown, printed, command):
    printed = [_shape(line) for line in printed]
    at, gap = 0, False
    for line in shown:
        if line == "...":
            gap = True
            continue
        wanted = _shape(line)
        where = next((i for i in range(at, len(printed)) if printed[i] == wanted), None)
        assert where is not None, f"$ {command}\nnever printed: {wanted}\n" + "\n".join(printed)
        assert gap or where == at, f"$ {command}\nbefore {wanted!r}: {printed[at:where]}"
        at, gap = where + 1, False


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
    yield root
    subprocess.run(["make", "down"], cwd=root, capture_output=True)
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_readme_is_true(clone):
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV")}
    built = subprocess.run(["make", "build"], cwd=clone, env=env, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    assert "lottery" in built.stdout
    assert "SIMULATED" in built.stdout
    transcripts = _transcripts((clone / "README.md").read_text())
    assert len(transcripts) >= 8
    for command, shown in transcripts:
        done = subprocess.run(command, shell=True, cwd=clone, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        _assert_shape(shown, done.stdout.splitlines(), command)


def test_the_overview_names_every_file():
    listed = subprocess.run(["git", "ls-files"], cwd=SOURCE, capture_output=True, check=True, text=True).stdout.split()
    text = (SOURCE / "OVERVIEW.md").read_text()
    missing = [name for name in listed if f"`{name}`" not in text and not name.startswith("tests/")]
    assert not missing
    named = re.findall(r"^\| `([^`]+)`", text, re.M)
    assert not [name for name in named if not (SOURCE / name).exists()]
