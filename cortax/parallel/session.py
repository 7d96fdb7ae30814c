"""A plan measured, round after round, and the machine that it was measured on."""

from __future__ import annotations

import itertools
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.errors import ProjectError
from cortax.grid.engines import ENGINES, check_engine
from cortax.grid.planning.preview import n_workers
from cortax.grid.work.settings import machine_memory, read_settings
from cortax.parallel.setting import Load, Setting, read_load, write_load

__all__ = ["LOADED", "current_setting", "installed", "load_warning", "machine", "read_plan", "run_plan", "write_plan"]

# A machine that is busy for more than this share of its cores before anything is measured misleads.
LOADED = 0.25

Plan = dict[Setting, list[Load]]
Measure = Callable[[Setting, Sequence[Load]], list[dict[str, Any]]]


def machine() -> dict[str, Any]:
    """Return what the figures depend on: cores of this process, memory in bytes, load average, Python."""
    return {
        "n_cores": len(os.sched_getaffinity(0)),
        "memory": machine_memory(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "processor": _processor(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def load_warning(n_cores: int, average: float) -> str:
    """Return what is to be said of the load average of the last minute, where other work takes notable part."""
    if average <= LOADED * n_cores:
        return ""
    return (
        f"the machine is loaded: {average:.1f} of {n_cores} cores were busy before anything was measured "
        f"(more than {LOADED:.0%}); the figures mislead"
    )


def current_setting(root: Path) -> Setting:
    """Return how a build of the project would work now; that of another machine's back-end counts as slices."""
    backend = read_settings(root).backend
    return Setting("slices" if backend == "slurm" else backend, n_workers(root))


def installed(backends: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the back-ends that are there, and for each of the others why not."""
    there, missing = [], []
    for name in backends:
        try:
            if name in ENGINES:
                check_engine(name)
            there.append(name)
        except ProjectError as error:
            missing.append(str(error))
    return there, missing


def run_plan(
    plan: Plan,
    measure: Measure,
    *,
    rounds: int,
    brief: bool = False,
    seconds: float = math.inf,
    say: Callable[[str], object] = print,
) -> tuple[pd.DataFrame, list[Setting]]:
    """Measure every setting once a round, so that what changes in the meantime meets all of them.

    Parameters
    ----------
    plan : dict of Setting to list of Load
    measure : callable
        See `asking.measure`. A load that took too long is not measured again.
    rounds : int
        Each with a fresh interpreter for every setting.
    brief : bool
        After the first round, measure only what builds could use.
    seconds : float
        When they are over no other setting is begun.
    say : callable
        Told what is about to be measured.

    Returns
    -------
    DataFrame
        What `measure` returned, a row a load, with the number of the `round`.
    list of Setting
        Those that there was no time for in the first round.
    """
    rows: list[dict[str, Any]] = []
    hopeless: set[tuple[Setting, Load]] = set()
    left_out, deadline = [], time.monotonic() + seconds
    for number, (place, setting) in itertools.product(range(rounds), enumerate(plan, 1)):
        if time.monotonic() > deadline:
            left_out += [] if number else [setting]
            continue
        left = [load for load in plan[setting] if (setting, load) not in hopeless]
        if not left or (brief and number and not _of_builds(setting)):
            continue
        say(f"round {number + 1} of {rounds}, {place} of {len(plan)}: {setting}")
        found = measure(setting, left)
        rows += [{**row, "round": number} for row in found]
        hopeless |= {(setting, load) for load, row in zip(left, found, strict=True) if row["over"]}
    return pd.DataFrame(rows), left_out


def _of_builds(setting: Setting) -> bool:
    return setting.backend == "slices" and setting.blas_threads == 1


def write_plan(plan: Plan) -> list[dict[str, Any]]:
    """Return a plan as JSON values."""
    return [{"setting": asdict(setting), "loads": list(map(write_load, loads))} for setting, loads in plan.items()]


def read_plan(content: Sequence[dict[str, Any]]) -> Plan:
    """Return the plan that `write_plan` wrote."""
    return {Setting(**part["setting"]): list(map(read_load, part["loads"])) for part in content}
