"""A disk that is full, before a build and in the middle of it, and limits of the shell: a message, and nothing lost."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import BIN, Project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system"),
]
BUILD = (sys.executable, "-c", "from cortax.cli import main; main()", "build", "mini")


class Disk:
    """A project on a file system of its own, which can be filled."""

    def __init__(self, place: Path) -> None:
        self.filler = place / "filler"
        self.project = Project(place / "p")

    def fill(self, left: int) -> None:
        """Leave so many bytes."""
        free = shutil.disk_usage(self.filler.parent).free
        self.filler.write_bytes(b"\0" * (free - left))

    def free(self) -> None:
        self.filler.unlink()

    def more(self, n: int) -> None:
        """Ask for another build: intervals of another confidence."""
        text = self.project.root / "studies/mini.toml"
        text.write_text(
            "\n".join(
                f"confidence = 0.9{n}" if line.startswith("confidence") else line
                for line in text.read_text().splitlines()
            )
        )

    def run(self, *command: str | Path, limit: str = "true") -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", f'{limit} && exec "$@"', "bash", *command],
            cwd=self.project.root,
            env=self.project.env,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    def shown(self) -> tuple[str, str]:
        folder = self.project.root / "results/mini"
        return os.readlink(folder), (folder / "build.json").read_text()


@pytest.fixture(scope="module")
def disk():
    place = Path(tempfile.mkdtemp(prefix="cx"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        place.rmdir()
        pytest.skip("no file system can be mounted here")
    made = Disk(place)
    try:
        made.project.cortax("up")
        made.project.run()
        yield made
    finally:
        made.filler.unlink(missing_ok=True)
        made.project.cortax("down", "--force", check=False)
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


def _is_whole(disk, said):
    """What is shown, and what urd lists, is the newest build."""
    log = disk.project.build_log()
    assert (disk.project.root / "results/mini/scores.parquet").exists(), said
    listed = disk.project.ax("urd", ":mini:").stdout
    assert all(job in listed for job in log["jobs"].values()), listed


@pytest.mark.parametrize("left", [0, 200_000])
def test_a_full_disk_is_told_before_anything_begins(disk, left):
    before = disk.shown()
    disk.more(20 + 1 + left % 7)
    disk.fill(left)
    code, said = disk.run(*BUILD)
    assert code == 1
    assert "cannot be written (No space left on device;" in said
    assert "nothing was begun" in said
    assert "Traceback" not in said
    assert disk.shown() == before
    disk.free()
    code, said = disk.run(*BUILD)
    assert code == 0, said
    assert disk.shown() != before
    _is_whole(disk, said)


@pytest.mark.parametrize("left", [100_000, 250_000])
def test_a_disk_that_fills_up_while_a_build_runs(disk, left):
    """`ax run` by itself does not look first: jobs, the server and the build script find the disk full."""
    before = disk.shown()
    disk.more(30 + left // 50_000)
    disk.fill(left)
    code, said = disk.run(BIN / "ax", "run", "--quiet", "studies")
    assert code == 1
    last = [line for line in said.splitlines() if line.startswith("cortax: ")][-1]
    assert "no space is left" in last or "No space left" in last or "no scores" in last
    assert "accelerator/build.py" not in said  # nothing of Exax's own fell over
    assert disk.shown() == before
    disk.free()
    code, said = disk.run(*BUILD)
    assert code == 0, said
    _is_whole(disk, said)


def test_links_and_lists_are_made_where_no_job_has_to_run(disk):
    code, said = disk.run(*BUILD)
    assert code == 0, said
    shutil.rmtree(disk.project.root / ".cortax/builds")
    (disk.project.root / "results/mini").unlink()
    disk.fill(0)
    code, said = disk.run(*BUILD)
    assert (code, "Traceback" in said) == (1, False)
    disk.free()
    code, said = disk.run(*BUILD)
    assert code == 0
    assert "0 jobs ran" in said
    _is_whole(disk, said)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("ulimit -n 24", "this shell allows 24 open files, a build needs at least 256: raise it by `ulimit -n`"),
        ("ulimit -f 8", "this shell allows 8192 bytes of a file, a build needs at least 16777216"),
    ],
)
def test_limits_of_the_shell(disk, limit, message):
    before = disk.shown()
    for command in (BUILD, (*BUILD[:3], "up")):
        if command[-1] == "up":
            disk.project.cortax("down")
        code, said = disk.run(*command, limit=limit)
        assert code == 1
        assert message in said
        assert "Traceback" not in said
    disk.project.cortax("up")
    assert disk.shown() == before


def test_a_small_limit_of_files_where_exax_is_asked_itself(disk):
    before = disk.shown()
    code, said = disk.run(BIN / "ax", "run", "--quiet", "studies", limit="ulimit -f 16")
    assert code == 1
    assert "File too large: results are as they were" in said
    assert "Traceback" not in said
    assert disk.shown() == before
    assert json.loads(before[1])["jobs"] == disk.project.jobs()
