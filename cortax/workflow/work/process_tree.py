"""A process and all below it, and what processes have used: CPU time and memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["cpu_seconds", "descendants", "memory"]


def descendants(pid: int) -> set[psutil.Process]:
    """Return a process and all below it that are there.

    The lists of children come from the system: `psutil.Process.children` looks at every process of the machine, which
    took 15 ms among 100 processes, too long for what is called 20 times a second while others are measured.
    """
    found: set[psutil.Process] = set()
    waiting = [pid]
    while waiting:
        with suppress(psutil.NoSuchProcess, OSError):
            process = psutil.Process(waiting.pop())
            found.add(process)
            for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
                waiting += map(int, path.read_text().split())
    return found


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU seconds of processes, with those of their children that have ended and were waited for."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])  # user and system; the children's user and system
    return total


def memory(processes: Iterable[psutil.Process]) -> int:
    """Return the bytes that processes hold in memory; pages that several of them share are counted once (PSS).

    Processes that have ended, or whose memory this user may not look at, count nothing.
    """
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total
