"""The machine: which back-ends it has, and a plan measured on it, round after round, here or in jobs of Exax."""

from __future__ import annotations

import itertools
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.errors import ProjectError
from cortax.project import ax
from cortax.workflow.build.preview import n_workers
from cortax.workflow.work.backends import BACKEND_MODULES, check_backend
from cortax.workflow.work.settings import machine_memory, read_settings
from cortax.workloads.bench.cases import Case, Plan, Scope, make_plan
from cortax.workloads.bench.measure import Row, Setting

__all__ = ["ASKED", "build_measurements", "current_setting", "installed", "machine", "run_as_jobs", "run_plan"]

# Where the build script finds what it is asked for.
ASKED = "CORTAX_PARALLEL"


def machine() -> dict[str, Any]:
    """Return what the figures depend on: cores of this process, memory in bytes, load average, Python, processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "n_cores": len(os.sched_getaffinity(0)),
        "memory": machine_memory(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "processor": names[0] if names else platform.machine(),
    }


def current_setting(root: Path) -> Setting:
    """Return how a build of the project would work now; that of another machine's back-end counts as slices."""
    backend = read_settings(root).backend
    return Setting("slices" if backend == "slurm" else backend, n_workers(root))


def installed(backends: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the back-ends that are there, and for each of the others why not."""
    there, missing = [], []
    for name in backends:
        try:
            if name in BACKEND_MODULES:
                check_backend(name)
            there.append(name)
        except ProjectError as error:
            missing.append(str(error))
    return there, missing


def run_plan(
    plan: Plan,
    measured: Callable[[Setting, Sequence[Case]], list[Row]],
    *,
    rounds: int,
    brief: bool = False,
    seconds: float = math.inf,
    say: Callable[[str], object] = print,
) -> tuple[pd.DataFrame, list[Setting]]:
    """Measure every setting once a round, so that what changes in the meantime meets all of them.

    Returns what `measured` did, a row a case, with the number of the `round`; and the settings that there was no time
    for in the first round, as no other is begun after so many `seconds`. A case that took too long is not measured
    again; if it is to be `brief`, only what builds could use is.
    """
    rows: list[Row] = []
    hopeless: set[tuple[Setting, Case]] = set()
    left_out, deadline = [], time.monotonic() + seconds
    for number, (place, setting) in itertools.product(range(rounds), enumerate(plan, 1)):
        if time.monotonic() > deadline:
            left_out += [] if number else [setting]
            continue
        left = [case for case in plan[setting] if (setting, case) not in hopeless]
        of_builds = setting.backend == "slices" and setting.blas_threads == 1
        if not left or (brief and number and not of_builds):
            continue
        say(f"round {number + 1} of {rounds}, {place} of {len(plan)}: {setting}")
        found = measured(setting, left)
        rows += [{**row, "round": number} for row in found]
        hopeless |= {(setting, case) for case, row in zip(left, found, strict=True) if row["over"]}
    return pd.DataFrame(rows), left_out


def run_as_jobs(root: Path, scope: Scope, *, limit: float, **how: Any) -> tuple[pd.DataFrame, list[Setting]]:
    """Have `ax run parallel` do what `run_plan` does, with the server that runs."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "asked.json"
        asked.write_text(json.dumps({"scope": asdict(scope), "limit": limit, "how": how}))
        # To standard error: what is printed to the other is the answer.
        if code := ax(root, "run", "parallel", env={ASKED: str(asked)}, stdout=2).wait():
            raise ProjectError(f"`ax run parallel` ended with exit status {code}")
        answer = json.loads(asked.with_name("answer.json").read_text())
    return pd.DataFrame(answer["runs"]), [Setting(**setting) for setting in answer["left_out"]]


def build_measurements(urd: Any, asked: Path) -> None:
    """Make a job of every setting of a plan and round, file them in urd, and answer beside what `run_as_jobs` wrote."""
    content = json.loads(asked.read_text())
    scope = Scope(**{**content["scope"], "current": Setting(**content["scope"]["current"])})
    begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

    def measured(setting: Setting, cases: Sequence[Case]) -> list[Row]:
        number = len(urd.joblist)
        name = f"{setting.backend}-{setting.processes}x{setting.blas_threads}-{number}"
        options = {
            "setting": asdict(setting),
            "cases": [asdict(case) for case in cases],
            "limit": content["limit"],
            # A measurement is never taken from another time: this one is part of what the job is.
            "salt": f"{begun}/{number}",
        }
        job = urd.build("measure", options=options, name=name, caption=f"measurements/{name}")
        rows: list[Row] = json.loads((Path(job.path) / "runs.json").read_text())
        return rows

    urd.begin("measurements", begun, caption=", ".join(scope.parts))
    runs, left_out = run_plan(make_plan(scope), measured, **content["how"])
    urd.finish("measurements")
    answer = {"runs": runs.to_dict("records"), "left_out": [asdict(setting) for setting in left_out]}
    asked.with_name("answer.json").write_text(json.dumps(answer))
