"""Sharing the cells of a job between the processes that Exax forks for it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

__all__ = ["SharedQueue"]


class SharedQueue:
    """Numbers 0 to n - 1, each drawn once, by whichever forked process is free.

    A slow cell so never idles the others. Make it before the fork.

    Parameters
    ----------
    n : int
        How many numbers there are.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._next = multiprocessing.get_context("fork").Value("q", 0)

    def __iter__(self) -> Iterator[int]:
        while True:
            with self._next.get_lock():
                drawn = self._next.value
                self._next.value = drawn + 1
            if drawn >= self.n:
                return
            yield drawn
