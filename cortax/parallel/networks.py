"""How long a network takes: all of it in an interpreter of its own, as `python -m cortax.parallel.networks ASKED`.

The wall time is that of the whole, from the start of the interpreter to its last gene. What passes before the first
gene begins (imports, reading, compiling, starting workers) is told apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from joblib import parallel_config

from cortax.errors import ProjectError
from cortax.grid.work.checkpoint import Checkpoint
from cortax.grid.work.forks import ForkCrew
from cortax.grid.work.pool import run_units
from cortax.grid.work.settings import Settings
from cortax.grid.work.units import Unit, check_failures
from cortax.grid.work.worker import THREADS
from cortax.networks.forests import ForestOptions, Regulators
from cortax.networks.reference import reference_importances
from cortax.networks.regressions import Regressions, plan_regressions, regress_batch, warm_up
from cortax.networks.store import open_genes, some_genes
from cortax.parallel.tree import cpu_seconds, descendants, memory

__all__ = ["main", "time_network"]

_LOOK_EVERY = 0.05
Asked = dict[str, Any]


def time_network(asked: Asked, folder: Path, options: ForestOptions, *, limit: float) -> dict[str, float]:
    """Time the regressions of a network.

    Parameters
    ----------
    asked : dict
        `solver` ("cortax" or "scikit-learn"), `n_genes` that are regulators, `n_targets` of them that are regressed,
        `processes`, and `jobs` of the estimator itself (1 with cortax's).
    folder : Path
        Where `save_genes` wrote the matrix.
    options : ForestOptions
    limit : float
        Seconds after which it is ended.

    Returns
    -------
    dict
        elapsed: seconds of the whole; startup: those before the first gene began; cpu: seconds of all processes;
        memory: most bytes that they held together, looked at twenty times a second; total: the sum of all importances,
        by which settings are seen to do the same work.

    Raises
    ------
    ProjectError
        It failed, or did not end within the limit.
    """
    given = {"asked": asked, "folder": str(folder.resolve()), "options": asdict(options)}
    with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile("w+") as said:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "cortax.parallel.networks", json.dumps(given)],
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=said,
            env=os.environ | dict.fromkeys(THREADS, "1"),
            cwd=Path(__file__).resolve().parents[2],
        )
        held = _watch(process, started + limit)
        answer.seek(0)
        said.seek(0)
        if process.returncode:
            raise ProjectError(f"{asked}: exit status {process.returncode}: {said.read()[-2000:].strip()}")
        told = json.loads(answer.read().splitlines()[-1])
    return {
        "elapsed": told["ended"] - started,
        "startup": told["began"] - started,
        "cpu": told["cpu"],
        "memory": max([told["memory"], *held]),
        "total": told["total"],
    }


def _watch(process: subprocess.Popen[bytes], until: float) -> list[int]:
    """Wait for a process, and note what it and all below it hold."""
    held = []
    while process.poll() is None:
        held.append(memory(descendants(process.pid)))
        if time.monotonic() > until:
            # Its workers are forks that end with it.
            process.kill()
            process.wait()
            raise ProjectError("not done within the limit; raise timings.limit, or time fewer genes or trees")
        time.sleep(_LOOK_EVERY)
    return held


def _work(asked: Asked, folder: Path, options: ForestOptions) -> tuple[list[str], Callable[[int], list[bytes]]]:
    """Names of the targets, and what regresses one by its number: by cortax, or as a loop over scikit-learn's would."""
    genes = some_genes(open_genes(folder), None)
    names, values = genes.names[: asked["n_genes"]], np.asarray(genes.values[: asked["n_genes"]])
    targets = names[: asked["n_targets"]]
    if asked["solver"] == "cortax":
        problem = Regressions(Regulators.prepare(values.T, names), targets, values[: len(targets)], options)
        batches = plan_regressions(problem)
        warm_up(problem)

        def found(number: int) -> float:
            return float(regress_batch(problem, batches[number])[number, 0].sum())
    else:
        samples = np.ascontiguousarray(values.T, dtype=np.float32)

        def found(number: int) -> float:
            with parallel_config(backend="threading", n_jobs=asked["jobs"]):
                return float(reference_importances(samples, number, values[number], options, seed=number).sum())

    def work(number: int) -> list[bytes]:
        began = time.monotonic()
        return [json.dumps({"total": found(number), "began": began}).encode()]

    return list(targets), work


def main() -> None:
    """Do what is asked for, and tell when it began and ended."""
    given = json.loads(sys.argv[1])
    asked = given["asked"]
    targets, work = _work(asked, Path(given["folder"]), ForestOptions(**given["options"]))
    with tempfile.TemporaryDirectory() as folder, Checkpoint(Path(folder) / "genes.sqlite") as kept:
        units = [Unit(((name, 0),)) for name in targets]
        report = run_units(
            units,
            kept,
            lambda level: ForkCrew(work, level),
            n_workers=asked["processes"],
            memory=Settings().memory,
        )
        ended = time.monotonic()
        check_failures(report.failed)
        notes = [json.loads(value) for value in kept.values().values()]
    below = descendants(os.getpid())
    answer = {
        "began": min(note["began"] for note in notes),
        "ended": ended,
        "total": sum(note["total"] for note in sorted(notes, key=lambda note: float(note["total"]))),
        "cpu": cpu_seconds(below),
        "memory": memory(below),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
