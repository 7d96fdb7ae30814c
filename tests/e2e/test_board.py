"""What people look at after an edit of a metric: a build in a terminal, what changed, where a job is from, a board."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

# With a terminal of its own, as a shell gives it to a command: what is typed becomes signals.
# A terminal hangs up when the first process of its session ends, and Exax may still be passing on what was printed: the
# first one is a shell, as it is for a user, and waits a moment.
COMMAND = f'{sys.executable} -c "from cortax.cli import main; main()"'
IN_TERMINAL = f"""
import fcntl, os, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "-c", '{COMMAND} "$@"; code=$?; sleep 2; exit $code', "bash", *os.sys.argv[1:]])
"""
METRIC = '_pure("r2", formulas.r2,'
# The wait is for the live view: what takes less than a second is not seen by it.
SLOWER = 'formulas.r2(*given) - 0.125 * (__import__("time").sleep(0.6) is None)'
EDITED = METRIC.replace("formulas.r2", f"lambda *given: {SLOWER}")


class Terminal:
    """A command in a pseudo-terminal."""

    def __init__(self, project, *arguments):
        self._own, other = os.openpty()
        env = {**project.env, "COLUMNS": "110", "LINES": "30", "TERM": "xterm"}
        command = [sys.executable, "-c", IN_TERMINAL, *arguments]
        self.process = subprocess.Popen(command, cwd=project.root, env=env, stdin=other, stdout=other, stderr=other)
        os.close(other)
        self.text = ""

    def read_until(self, pattern, seconds=150):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text) and time.monotonic() < deadline:
            if not self._read():
                break
        assert re.search(pattern, self.text), self.text[-3000:]

    def _read(self):
        if not select.select([self._own], [], [], 1.0)[0]:
            return True
        try:
            data = os.read(self._own, 65536)
        except OSError:  # how a terminal ends whose processes are gone
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def type(self, keys):
        os.write(self._own, keys)

    def end(self, seconds=150):
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + seconds
        while self._read() and time.monotonic() < deadline:
            pass
        os.close(self._own)
        return self.process.wait(timeout=30)


def get(address):
    asked = urllib.request.Request(address, headers={"Accept": "text/html"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


@pytest.fixture(scope="module")
def edited(project):
    """The mini study, built again in a terminal after one line of a metric was edited."""
    before = project.scores()
    time.sleep(0.02)
    project.edit("cortax/learning/scores.py", METRIC, EDITED)
    terminal = Terminal(project, "build", "mini")
    assert terminal.end() == 0, terminal.text
    project.terminal, project.before = terminal, before
    return project


def test_a_terminal_shows_how_far_a_build_is_and_what_it_prints(edited):
    text = edited.terminal.text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    # It looks once a second: which of its states it shows depends on the machine, but for the last.
    assert re.search(r"mini ━+\S* (9|10|11)/12 jobs: [012] ran, 9 linked, [123] left", plain), plain
    assert re.search(r"evaluate/(blocks|soft)/ridge: \d+ s, [0-6] of 6 units", plain), plain
    assert re.search(r"about \d+ s left   (\d+ MB|\d\.\d GB)", plain), plain
    assert re.search(r"12/12 jobs: 3 ran, 9 linked, 0 left", plain), plain
    lines = [line.strip() for line in re.split(r"[\r\n]+", plain)]
    assert [
        line
        for line in lines
        if re.match(r"\[\d+/12\] evaluate/blocks/ridge: cortax/learning/scores\.py changed", line)
    ]
    assert [line for line in lines if re.match(r"- scores\s+MAKE|- scores\s+DONE", line)], lines
    assert [line for line in lines if line.startswith("Twenty-four subjects of noise (SIMULATED DATA): ")]
    assert text.rindex("\x1b[?25h") > text.index("\x1b[?25l")  # the cursor is back
    assert "best mean over folds" in plain


def test_against_names_the_file_of_the_metric_and_what_changed(edited):
    text = edited.cortax("results", "mini", "--against", "previous").stdout
    reasons = [line.split() for line in text.splitlines() if re.match(r"(code|data|option|version|job|unknown) ", line)]
    assert [line[:3] for line in reasons] == [["code", "cortax/learning/scores.py", "changed"]], text
    assert "2, such as evaluate/blocks/ridge" in text
    out = edited.root / "changes.csv"
    edited.cortax("results", "mini", "--against", "previous", "--folds", "--to", str(out))
    changes = pd.read_csv(out)
    n_scores = (edited.before["metric"] == "r2").sum()
    assert set(changes["metric"]) == {"r2"}
    assert len(changes) == n_scores
    assert changes["change"].tolist() == pytest.approx([-0.125] * n_scores)


def test_against_something_that_was_never_built(edited):
    done = edited.cortax("results", "mini", "--against", "1999-01", check=False)
    assert done.returncode == 1
    assert "no earlier build of that time; must be 'previous' or one of ['20" in done.stderr


def test_show_goes_down_to_the_input_files(edited):
    text = edited.cortax("show", "mini/evaluate/blocks/ridge").stdout
    for said in ("mini/load", "input/mini/sub-000/sub-000_hemi-L_thickness.npy", "input/mini/blocks.npy", "numpy "):
        assert said in text
    found = json.loads(edited.cortax("show", edited.jobs()["scores"], "--json").stdout)
    made = {each["method"] for each in found["jobs"].values()}
    assert made == {"load", "parcellate", "phenotype", "split", "target", "tune", "evaluate", "scores"}
    load = next(each for each in found["jobs"].values() if each["method"] == "load")
    assert len(load["input_files"]) == 48
    evaluate = next(each for each in found["jobs"].values() if each["method"] == "evaluate")
    assert "cortax/learning/scores.py" in evaluate["sources"]
    missed = edited.cortax("show", "mini/evaluate/block/ridge", check=False)
    assert missed.returncode == 1
    assert "the nearest are ['mini/evaluate/blocks/ridge'" in missed.stderr


def listening(port):
    """Addresses on which anything listens on a port."""
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    places = [line[1].split(":") for line in lines if line[3] == "0A"]
    return {address for address, number in places if int(number, 16) == port}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_board_opens_on_this_machine_only_and_goes_down_with_the_server(edited):
    port = str(free_port())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = edited.cortax("up", "--board", "--port", str(taken.getsockname()[1]), check=False)
        assert done.returncode == 1
        assert "cannot be listened on" in done.stderr
    address = f"http://127.0.0.1:{port}"
    assert f"board started: {address}" in edited.cortax("up", "--board", "--port", port).stdout
    assert f"board is running already: {address}" in edited.cortax("up", "--board").stdout
    assert f"ok   board: {address}" in edited.cortax("doctor").stdout
    status, kind, page = get(address)
    assert (status, kind) == (200, "text/html; charset=UTF-8")
    job = edited.jobs()["scores"]
    assert "<title>ax board" in page
    assert job in get(f"{address}/job/{job}")[2]
    assert json.loads(get(f"{address}/results/mini/build.json")[2])["jobs"]["scores"] == job
    assert listening(int(port)) == {"0100007F"}  # 127.0.0.1, as the kernel writes it
    assert "board ended" in edited.cortax("down").stdout
    with pytest.raises(urllib.error.URLError):
        get(address)
    edited.cortax("up")


def test_control_c_in_a_terminal_stops_the_build_and_the_job(edited):
    slow = "    import time\n    time.sleep(60)\n"
    edited.edit("methods/regions/a_tune.py", "    run_task(", f"{slow}    run_task(")
    terminal = Terminal(edited, "build", "mini")
    terminal.read_until(r"tune/\w+/ridge: \d+ s")
    terminal.type(b"\x03")
    assert terminal.end() == 128 + signal.SIGINT, terminal.text
    assert "interrupted; the running job was stopped" in terminal.text
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.index("\x1b[?25l")
