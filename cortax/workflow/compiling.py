"""Machine code ahead of builds, whose jobs would compile it one after the other."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from cortax.workflow.workload import kinds, resolve, workload_of

__all__ = ["compile_all"]


def compile_all() -> Iterator[str]:
    """Have all workloads' machine code compiled by as many processes as there are cores; yield what is ready.

    Raises what a workload's function raises.
    """
    parts = [reference for kind in kinds() for reference in workload_of(kind).compiled]
    # Spawned: what numba knows of one function makes none of another's code.
    with ProcessPoolExecutor(
        min(len(parts), len(os.sched_getaffinity(0))), multiprocessing.get_context("spawn")
    ) as pool:
        waiting = {pool.submit(_compile, reference): reference for reference in parts}
        for done in as_completed(waiting):
            done.result()
            yield waiting[done]


def _compile(reference: str) -> None:
    resolve(reference, "compiled")()
