"""What a process and all that it started have taken: CPU time and memory, as Linux counts them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["cpu_seconds", "descendants", "memory"]


def descendants(pid: int) -> set[int]:
    """Return a process and all below it that are there."""
    found, waiting = {pid}, [pid]
    while waiting:
        for path in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with suppress(OSError):
                new = set(map(int, path.read_text().split())) - found
                found |= new
                waiting += new
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds of processes, with those of their children that have ended and were waited for."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids: Iterable[int]) -> int:
    """Return the bytes that processes hold together, in memory; what several share is counted once (PSS)."""
    held = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    held += int(line.split()[1]) * 1024
    return held
