"""What an edit costs: jobs that run again and seconds, against building everything anew, all in one run.

    python benchmarks/bench_reuse.py [--jobs N] [--profile FILE]

Builds a small simulated study (24 subjects, fsaverage3) in a temporary copy of the project, through `ax run` on an
Exax server of its own, then edits the copy's code and builds again. With --jobs the study gets as many more
parcellations (of random weights, with one ridge configuration) as make about N jobs. Jobs here are so short that
most of the time is Exax's own share of a job: the longer the jobs, the smaller the ratios.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from conftest import BIN, STUDY, Project, Run

N_VERTICES, N_REGIONS = 1284, 4
PARCELLATION = '[parcellations.{name}]\nkind = "weights"\nfile = "input/mini/{name}.npy"\n'

# What is edited, in which file: a metric's value, a comment, the code of a step whose result stays the same.
EDITS = [
    (
        "a metric's formula",
        "cortax/learning/scores.py",
        'Metric("r2", formulas.r2,',
        'Metric("r2", lambda *given: 0.999 * formulas.r2(*given),',
    ),
    ("a comment", "cortax/learning/scores.py", "from __future__", "# A remark.\nfrom __future__"),
    ("load, refactored", "cortax/brain/data/maps.py", "rules = Rules(", "checks = rules = Rules("),
]


def widen(project: Project, n_jobs: int) -> None:
    """Give the study the parcellations that make about so many jobs, three each, and one cheap configuration."""
    rng = np.random.default_rng(0)
    names = [f"random-{i:03d}" for i in range((n_jobs - 4) // 3)]
    past = time.time() - 60
    for name in names:
        path = project.root / "input" / "mini" / f"{name}.npy"
        np.save(path, rng.uniform(size=(N_VERTICES, N_REGIONS)))
        os.utime(path, (past, past))
    start, end = STUDY.index("[parcellations."), STUDY.index("[pipelines.")
    parcellations = "\n".join(PARCELLATION.format(name=name) for name in names)
    rest = STUDY[end:].replace("n_configs = 3", "n_configs = 1")
    project.write("studies/mini.toml", STUDY[:start] + parcellations + "\n" + rest)


def build(project: Project) -> Run:
    started = time.monotonic()
    command = [str(BIN / "ax"), "run", "--quiet", "studies"]
    done = subprocess.run(command, cwd=project.root, env=project.env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return Run(done.returncode, re.sub(r"\x1b\[[0-9;]*[mK]", "", done.stdout), time.monotonic() - started)


def line(what: str, ran: int, n_jobs: int, seconds: float, cold: float) -> None:
    print(f"{what:<28}{ran:6d} of {n_jobs:<6d}{seconds:9.2f} s{seconds / cold:9.3f}", flush=True)


def measure(project: Project, n_times: int) -> int:
    print(f"{'build after':<28}{'jobs that ran':>15}{'time':>9}{'of cold':>11}")
    run = build(project)
    n_jobs, cold = len(run.made), run.seconds
    line("nothing: the first", n_jobs, n_jobs, cold, cold)
    again = [build(project) for _ in range(n_times)]
    line(f"no change (median of {n_times})", len(again[0].made), n_jobs, _median(again), cold)
    for what, path, old, new in EDITS:
        project.edit(path, old, new)
        run = build(project)
        line(what, len(run.made), n_jobs, run.seconds, cold)
    return n_jobs


def _median(runs: list) -> float:
    return statistics.median(run.seconds for run in runs)


def profile(project: Project, path: Path) -> None:
    """Profile one build without a change, for `python -m pstats`."""
    command = [
        sys.executable,
        "-m",
        "cProfile",
        "-o",
        str(path.resolve()),
        str(BIN / "ax"),
        "run",
        "--quiet",
        "studies",
    ]
    subprocess.run(command, cwd=project.root, env=project.env, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="about how many jobs (default: the 10 of the small study)")
    parser.add_argument("--profile", type=Path, help="also profile a build without a change into this file")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="cx"))
    project = Project(root)
    try:
        if arguments.jobs:
            widen(project, arguments.jobs)
        project.cortax("up")
        measure(project, 3)
        if arguments.profile:
            profile(project, arguments.profile)
    finally:
        project.cortax("down", check=False)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
