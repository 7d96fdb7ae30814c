"""How far a build is: what its script writes, what another process sees, and how a terminal shows it."""

import io
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from rich.console import Console

from cortax.cli.live import live_view, render
from cortax.errors import ProjectError
from cortax.workflow.build.progress import Progress, Rate, Seen, note_progress, read_progress, see
from cortax.workflow.guarding.board import board_address, board_down, board_up
from cortax.workflow.guarding.processes import memory_of

HALF = Progress("demo", 20, n_ran=3, n_linked=7, job="tune/x/ridge", runs=True, n_units=45, left=90.0, begun=100.0)


def drawn(seen, rate=0.0, now=130.0):
    console = Console(file=io.StringIO(), width=120)
    console.print(render(seen, rate, now))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Seen(HALF, 12, 2_500_000_000), ["10/20 jobs: 3 ran, 7 linked, 10 left", "tune/x/ridge: 30 s, 12 of 45 units"]),
        (Seen(HALF, 12, 2_500_000_000), ["1.5 units/s   about 1 min 0 s left   2.5 GB"]),
        (Seen(Progress("demo", 4, n_linked=4), 0, 0), ["4/4 jobs: 0 ran, 4 linked, 0 left", "filing the results"]),
        (Seen(Progress("demo", 4, n_failed=1, n_skipped=2, job="x"), 0, 0), ["1 left, 1 FAILED, 2 not tried"]),
        (Seen(Progress("demo", 4, job="load"), 0, 0), ["looking which jobs are there"]),
        (Seen(Progress("demo", 4, job="load", runs=True, begun=90.0), 0, 0), ["load: 40 s\n"]),
        (Seen(None, 0, 150_000_000), ["reading the study", "150 MB"]),
    ],
)
def test_what_is_drawn(seen, said):
    text = drawn(seen, rate=1.5)
    for each in said:
        assert each in text


def test_what_takes_longer_than_expected_is_never_over():
    assert "about 1 s left" in drawn(Seen(HALF, 0, 0), now=1e6)
    hours = Progress("demo", 4, job="x", left=3 * 3600 + 125.0)
    assert "about 3 h 2 min left" in drawn(Seen(hours, 0, 0))


def test_a_narrow_terminal_holds_it():
    console = Console(file=io.StringIO(), width=40)
    console.print(render(Seen(HALF, 12, 10**9), 1.5, 130.0))
    assert max(map(len, console.file.getvalue().splitlines())) <= 40


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".cortax").mkdir()
    (tmp_path / "workdirs/main").mkdir(parents=True)
    return tmp_path


def test_what_is_written_is_read_by_others_as_long_as_it_is_of_this_build(root):
    before = time.time()
    assert read_progress(root, 0.0) is None
    note_progress(root, HALF)
    assert read_progress(root, before - 1) == HALF
    assert read_progress(root, time.time() + 1) is None
    assert [path.name for path in (root / ".cortax").iterdir()] == ["progress.json"]
    for damaged in ("", "[]", '{"study": "demo"}', '{"study": "demo", "n_jobs": 1, "of_a_later_version": 2}'):
        (root / ".cortax/progress.json").write_text(damaged)
        assert read_progress(root, 0.0) is None


def test_a_build_that_cannot_write_goes_on(root):
    (root / ".cortax").rmdir()
    (root / ".cortax").write_text("in the way")
    note_progress(root, HALF)
    assert read_progress(root, 0.0) is None


def test_units_are_those_of_the_newest_job_that_has_not_ended(root):
    note_progress(root, HALF)
    for number in (1, 2):
        (root / f"workdirs/main/main-{number}").mkdir()
    (root / "workdirs/main/main-2/post.json").touch()
    assert see(root, 0.0).units == 0  # it has no checkpoint yet


def test_the_rate_is_that_of_the_last_minute():
    rate = Rate()
    assert rate(0.0, 10) == 0.0
    assert rate(30.0, 70) == pytest.approx(2.0)
    assert rate(60.0, 70) == pytest.approx(1.0)
    assert rate(100.0, 110) == pytest.approx(40 / 40)
    assert rate(110.0, 5) == 0.0  # a build that was started again counts anew


def test_memory_is_that_of_processes_in_the_project(root):
    before = memory_of(root)
    hold = "import sys; held = bytearray(b'x') * 80_000_000; print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert 80e6 < memory_of(root) - before < 200e6
        process.stdin.close()
    assert memory_of(root) == before


def test_what_ax_prints_appears_above_the_view_without_its_own_line(root, monkeypatch):
    """`ax --help` stands for a build: its lines come whole, and the view is gone at the end."""
    (root / "accelerator.conf").write_text("slices: 1\nworkdirs:\n\tmain ./workdirs/main\nmethod packages:\n\tdev\n")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with live_view(root, console) as run:
        child = run(root, "run", "--help", env={})
        assert child.wait(timeout=120) == 0
    text = console.file.getvalue()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "usage: ax run" in plain
    assert "verbosity style {no, status, dots, log}" in " ".join(plain.split())
    assert text.rindex("\x1b[?25h") > text.index("\x1b[?25l")


def test_a_taken_port_is_said_and_nothing_is_started(root):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ProjectError, match=rf"port {port} cannot be listened on \(Address already in use\)"):
            board_up(root, port)
    assert board_address(root) is None
    assert not board_down(root)


def test_a_board_that_does_not_come_up_says_why(root):
    (root / "accelerator.conf").write_text("nonsense: 1\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ProjectError, match=r"the board did not start on port .*\n(.*\n)*.*nonsense"):
        board_up(root, port)
    assert board_address(root) is None
    assert os.listdir(root / ".cortax") == ["board.log"]
