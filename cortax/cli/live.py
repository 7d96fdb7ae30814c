"""A build as a terminal shows it: what it prints, and below that how far it is."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cortax.project import ax
from cortax.workflow.build.progress import Progress, Rate, Seen, see

__all__ = ["Run", "live_view", "render"]

Run = Callable[..., "subprocess.Popen[bytes]"]

_LOOK_EVERY, _WEIGH_EVERY = 1.0, 5.0
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def render(seen: Seen, rate: float, now: float) -> RenderableType:
    """Draw how far a build is, in three lines.

    Parameters
    ----------
    seen : Seen
    rate : float
        Units a second.
    now : float
        Seconds of the system's clock.
    """
    progress = seen.progress
    if progress is None:
        return Text(f"loading the code, reading the study ...   {_size(seen.memory)}")
    done = progress.n_jobs - progress.n_left
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        Text(progress.study, style="bold"),
        ProgressBar(total=max(progress.n_jobs, 1), completed=done, width=30),
        f"{done}/{progress.n_jobs} jobs: {progress.n_ran} ran, {progress.n_linked} linked, {progress.n_left} left"
        + (f", {progress.n_failed} FAILED, {progress.n_skipped} not tried" if progress.n_failed else ""),
    )
    speed = f"{rate:.3g} units/s   " if rate else ""
    return Group(bar, Text(_now(progress, seen.units, now)), Text(speed + _left(progress, now) + _size(seen.memory)))


def _now(progress: Progress, units: int, now: float) -> str:
    if not progress.runs:
        return "looking which jobs are there" if progress.job else "filing the results"
    units_done = f", {units} of {progress.n_units} units" if progress.n_units else ""
    return f"{progress.job}: {_duration(now - progress.begun)}{units_done}"


def _left(progress: Progress, now: float) -> str:
    if not progress.left:
        return ""
    spent = now - progress.begun if progress.runs else 0.0
    return f"about {_duration(max(progress.left - spent, 1.0))} left   "


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


@contextmanager
def live_view(root: Path, console: Console) -> Iterator[Run]:
    """Show how far a build is for as long as this lasts, below what it prints.

    Parameters
    ----------
    root : Path
        The project.
    console : Console
        A terminal.

    Yields
    ------
    callable
        Starts `ax` as `cortax.project.ax` does; what it prints appears above the live lines.
    """
    view = _View(root, console)
    with Live(view, console=console, refresh_per_second=4, transient=True):
        yield view.run
        view.finish()


class _View:
    """What is drawn; looked at once a second, however often it is drawn."""

    def __init__(self, root: Path, console: Console) -> None:
        self._root, self._console = root, console
        self._since, self._looked, self._weighed = time.time(), 0.0, 0.0
        self._rate, self._units_a_second = Rate(), 0.0
        self._seen = Seen(None, 0, 0)
        self._readers: list[threading.Thread] = []

    def __rich__(self) -> RenderableType:
        now = time.time()
        if now - self._looked >= _LOOK_EVERY:
            weigh = now - self._weighed >= _WEIGH_EVERY
            self._looked, self._weighed = now, now if weigh else self._weighed
            self._seen = see(self._root, self._since, memory=None if weigh else self._seen.memory)
            progress = self._seen.progress
            if progress is not None:
                self._units_a_second = self._rate(now, progress.units_done + self._seen.units)
        return render(self._seen, self._units_a_second, now)

    def run(self, root: Path, *arguments: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start `ax`; a thread prints what it prints."""
        # Without --quiet Exax itself draws a line that it rewrites every second.
        command, *rest = arguments
        child = ax(root, command, "--quiet", *rest, env={**env, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE)
        assert child.stdout is not None
        reader = threading.Thread(target=self._print, args=(child.stdout,), daemon=True)
        reader.start()
        self._readers.append(reader)
        return child

    def _print(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                text = _CONTROL.sub("", line.decode(errors="replace")).rstrip("\r\n").rpartition("\r")[2]
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Wait until all is printed, and draw how it ended; what a killed child left open is not waited for."""
        for reader in self._readers:
            reader.join(timeout=5.0)
        self._looked = 0.0
