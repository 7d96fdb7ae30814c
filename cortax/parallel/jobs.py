"""Measurements as jobs of Exax: `ax run parallel` makes one of every setting and round, which keeps what was found."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.errors import ProjectError
from cortax.parallel.session import read_plan, run_plan, write_plan
from cortax.parallel.setting import Load, Setting, write_load
from cortax.project import ax

__all__ = ["ASKED", "build_measurements", "run_as_jobs"]

# Where the build script finds what it is asked for.
ASKED = "CORTAX_PARALLEL"

Plan = dict[Setting, list[Load]]


def run_as_jobs(root: Path, plan: Plan, *, limit: float, **how: Any) -> tuple[pd.DataFrame, list[Setting]]:
    """Have `ax run parallel` measure a plan; see `run_plan` for what it returns and what else it is told.

    Parameters
    ----------
    root : Path
        The project, whose server runs.
    plan : dict of Setting to list of Load
    limit : float
        See `asking.measure`.

    Raises
    ------
    ProjectError
        The build failed; what it printed says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "asked.json"
        asked.write_text(json.dumps({"plan": write_plan(plan), "limit": limit, "how": how}))
        # To standard error: what is printed to the other is the answer.
        if code := ax(root, "run", "parallel", env={ASKED: str(asked)}, stdout=2).wait():
            raise ProjectError(f"`ax run parallel` ended with exit status {code}")
        answer = json.loads(asked.with_name("answer.json").read_text())
    return pd.DataFrame(answer["runs"]), [Setting(**setting) for setting in answer["left_out"]]


def build_measurements(urd: Any, asked: Path) -> None:
    """Make a job of every setting of a plan and round, file them in urd, and answer beside the question.

    Parameters
    ----------
    urd
        What Exax hands to a build script's `main`.
    asked : Path
        What `run_as_jobs` wrote.
    """
    content = json.loads(asked.read_text())
    begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

    def measure(setting: Setting, loads: Sequence[Load]) -> list[dict[str, Any]]:
        name = f"{setting.backend}-{setting.processes}x{setting.blas_threads}-{len(urd.joblist)}"
        options = {
            "setting": asdict(setting),
            "loads": list(map(write_load, loads)),
            "limit": content["limit"],
            # A measurement is never taken from another time: this one is part of what the job is.
            "salt": f"{begun}/{len(urd.joblist)}",
        }
        job = urd.build("measure", options=options, name=name, caption=f"measurements/{name}")
        rows: list[dict[str, Any]] = json.loads((Path(job.path) / "runs.json").read_text())
        return rows

    urd.begin("measurements", begun, caption=f"{len(content['plan'])} settings")
    runs, left_out = run_plan(read_plan(content["plan"]), measure, **content["how"])
    urd.finish("measurements")
    answer = {"runs": runs.to_dict("records"), "left_out": [asdict(setting) for setting in left_out]}
    asked.with_name("answer.json").write_text(json.dumps(answer))
