"""Workers of this machine as fresh processes, by joblib's own executor."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import Any

from joblib.externals.loky import BrokenProcessPool
from joblib.externals.loky.backend import get_context
from joblib.externals.loky.process_executor import ProcessPoolExecutor, ShutdownExecutorError

from cortax.workflow.work.backends import Setup, WorkerLostError
from cortax.workflow.work.remote_main import end_with
from cortax.workflow.work.scratch import Scratch

__all__ = ["start"]


@dataclass(frozen=True, eq=False)
class _Handle:
    future: Future[Any]

    def result(self) -> Any:
        try:
            return self.future.result()
        except (BrokenProcessPool, ShutdownExecutorError) as error:
            raise WorkerLostError(f"a process was lost: {error}") from error


class _Loky:
    """An executor, which is made anew when it has lost a process: it then gives up all its calls."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._scratch = Scratch(setup.folder, "loky")
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # Without a time after which they end: they wait for calls as long as the executor is there. They would do so
        # for ever when this process is killed.
        return ProcessPoolExecutor(
            max_workers=self._setup.n_workers,
            context=get_context("loky"),
            timeout=None,
            initializer=end_with,
            initargs=(os.getpid(),),
        )

    def adapt(self, setup: Setup) -> None:
        self._setup = setup  # fewer workers: some of the processes have nothing to do

    def close(self) -> None:
        # Its processes would hold the standard output of an Exax job, which waits for that to be closed.
        self._executor.shutdown(wait=True, kill_workers=True)
        del self._executor
        # Its semaphores go with the last trace of it: with processes that were killed and not yet buried, as this does,
        # and with what is in circles, which jobs of Exax do not collect by themselves.
        multiprocessing.active_children()
        gc.collect()
        self._scratch.remove()

    def submit(self, call: Callable[..., Any], *args: Any) -> _Handle:
        self._scratch.note()
        try:
            return _Handle(self._executor.submit(call, *args))
        except (BrokenProcessPool, ShutdownExecutorError):
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = self._start()
            return _Handle(self._executor.submit(call, *args))

    def wait(self, handles: Sequence[_Handle], timeout: float) -> list[_Handle]:
        done, _ = wait_for([handle.future for handle in handles], timeout, FIRST_COMPLETED)
        return [handle for handle in handles if handle.future in done]


def start(setup: Setup) -> _Loky:
    """Start processes on this machine."""
    return _Loky(setup)
