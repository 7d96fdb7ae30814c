"""The jobs that time networks: one for each setting and repeat, and the table of all of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cortax.errors import StudyError
from cortax.grid.planning.gene_names import GeneNames
from cortax.grid.planning.jobspec import JobSpec, sorted_keys
from cortax.study import NetworkScaling

__all__ = ["Asked", "asked_timings", "timing_jobs"]

Asked = dict[str, Any]

_OWN, _PEER = "cortax", "scikit-learn"


def timing_jobs(study: NetworkScaling, root: Path, digest_of: Callable[[Path], str]) -> list[JobSpec]:
    """List the jobs of a study of how long networks take.

    What was timed on one machine does not stand for another: its processor and cores are part of every key.

    Raises
    ------
    CortaxError
        The expression matrix is missing or wrong, or has fewer genes than are to be timed.
    """
    digest = digest_of(root / study.expression.file)
    n_there = len(GeneNames(root / ".cortax" / "genes").of(root, study.expression, digest).names)
    n_cores = len(os.sched_getaffinity(0))
    common = {"machine": f"{platform.node()}, {n_cores} cores", "limit": study.timings.limit, "seed": study.seed}
    common |= {"forest": study.forest.model_dump(), "round": study.timings.round}
    jobs, names = [], []
    for asked in asked_timings(study, n_cores):
        if asked["n_genes"] > n_there:
            raise StudyError(
                f"timings: {asked['n_genes']} genes are to be timed, {study.expression.file} has {n_there}"
            )
        for repeat in range(study.timings.repeats):
            name = f"{asked['solver']}/{asked['n_targets']}-of-{asked['n_genes']}/{asked['setting']}/{repeat + 1}"
            names.append(name)
            options = sorted_keys({**common, **asked, "repeat": repeat + 1})
            jobs.append(JobSpec(f"time/{name}", "time_network", options, {"expression": "expression"}))
    expression = sorted_keys({**study.expression.model_dump(), "digest": digest})
    about = {"prices": study.prices, "n_cores": n_cores, "names": names}
    inputs: dict[str, str | list[str]] = {"timed": [job.name for job in jobs]}
    table = JobSpec("timings", "timings", sorted_keys(about), inputs, {"timed": "names"}, links=("timings.parquet",))
    return [JobSpec("expression", "expression", expression), *jobs, table]


def asked_timings(study: NetworkScaling, n_cores: int) -> list[Asked]:
    """Return what is timed, each once: numbers of genes and targets, solver, processes and estimator jobs.

    scikit-learn's estimator is timed in all settings, as only it has jobs of its own; cortax's by processes.
    """
    found: dict[tuple[Any, ...], Asked] = {}
    for asked in _asked(study, n_cores):
        key = tuple(asked[name] for name in ("solver", "n_genes", "n_targets", "processes", "jobs"))
        found.setdefault(key, asked)
    return list(found.values())


def _asked(study: NetworkScaling, n_cores: int) -> Iterator[Asked]:
    timings, most = study.timings, max(study.timings.n_genes)
    workers = timings.workers or _up_to(n_cores)
    for n_genes in timings.n_genes:
        for setting in timings.crossed:
            processes, jobs = (n_cores if part == "all" else int(part) for part in setting.split("x"))
            yield _one(_PEER, n_genes, n_genes, processes, jobs)
            if jobs == 1:
                yield _one(_OWN, n_genes, n_genes, processes, 1)
    for n_workers in workers:
        share = timings.genes_per_worker * n_workers
        for solver in (_PEER, _OWN):
            yield _one(solver, most, most, n_workers, 1)
            if share <= most:
                yield _one(solver, most, share, n_workers, 1)
    for n_genes in timings.memory_genes:
        yield _one(_OWN, n_genes, n_genes, n_cores, 1)


def _one(solver: str, n_genes: int, n_targets: int, processes: int, jobs: int) -> Asked:
    return {
        "solver": solver,
        "n_genes": n_genes,
        "n_targets": n_targets,
        "processes": processes,
        "jobs": jobs,
        "setting": f"{processes}x{jobs}",
    }


def _up_to(n_cores: int) -> list[int]:
    """One worker, twice as many and so on, and all cores."""
    return sorted({*(2**k for k in range(n_cores.bit_length()) if 2**k <= n_cores), n_cores})
