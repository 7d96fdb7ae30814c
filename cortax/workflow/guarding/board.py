"""Exax's board, for people with a browser on this machine: results, reports, and every job that they link to."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from cortax.errors import ProjectError
from cortax.project import ax_command, without_lock
from cortax.workflow.guarding.processes import boards, end

__all__ = ["PORT", "board_address", "board_down", "board_up"]

# Exax's own choice.
PORT = 8520


def board_address(root: Path) -> str | None:
    """Return where the board of a project answers, or None while there is none."""
    return next(iter(boards(root)), None)


def board_up(root: Path, port: int = PORT, *, patience: float = 30.0) -> tuple[str, bool]:
    """Start the board of a project, unless it runs; return its address and whether it was started.

    It listens on this machine only, and asks nobody who they are: every user of the machine can read what it shows,
    from elsewhere one comes through `ssh -L`. It stays when the Exax server is started again.

    Parameters
    ----------
    root : Path
        The project, whose Exax server runs.
    port : int
    patience : float
        Seconds to wait for it.

    Raises
    ------
    ProjectError
        The port is taken, or the board does not come up; the message holds the last lines that it printed.
    """
    if there := board_address(root):
        return there, False
    _check_free(port)
    log = root / ".cortax" / "board.log"
    with open(log, "wb") as file:
        board = subprocess.Popen(
            [ax_command(), "board-server", f"127.0.0.1:{port}"],
            cwd=root,
            env=without_lock(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and board.poll() is None:
        if _answers(port):
            return f"http://127.0.0.1:{port}", True
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.killpg(board.pid, signal.SIGKILL)
    board.wait()
    said = "\n".join(log.read_text(errors="replace").strip().splitlines()[-10:])
    raise ProjectError(f"the board did not start on port {port}; the end of {log}:\n{said}")


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # As the board itself does: what a board that has ended still keeps busy for a minute is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ProjectError(
                f"port {port} cannot be listened on ({error.strerror}): another program has it, or the board of "
                f"another project; `cortax up --board --port {port + 1}` takes another"
            ) from error


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def board_down(root: Path) -> bool:
    """End the board of a project; return whether there was one."""
    found = boards(root)
    end(found.values())
    return bool(found)
