"""A study of how long networks take, by processes and estimator jobs, on this machine; and its jobs."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cortax.errors import StudyError
from cortax.study.section import Name, Section, Study
from cortax.workflow.plan.jobspec import JobSpec, sorted_keys
from cortax.workflow.workload import Planning
from cortax.workloads.network.plan import GeneNames
from cortax.workloads.network.study import Expression, Forest

__all__ = ["BenchStudy", "asked_timings", "check_timings", "timing_jobs"]

_OWN, _PEER = "cortax", "scikit-learn"
_CROSSED = re.compile(r"[1-9]\d*x([1-9]\d*|all)|allx([1-9]\d*)")
Several = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


class Timings(Section):
    """What is timed: every entry is a network from its start to its last link, in processes of its own."""

    n_genes: Several = [10, 100]
    crossed: list[str] = ["1x1", "4x1", "1x4", "4x4", "1xall", "1x32", "32x1"]
    workers: list[Annotated[int, Field(ge=1)]] = []
    genes_per_worker: int = Field(default=10, ge=1)
    memory_genes: list[Annotated[int, Field(ge=2)]] = []
    repeats: int = Field(default=3, ge=1)
    round: int = Field(default=1, ge=1)
    limit: float = Field(default=600.0, gt=0)

    @field_validator("crossed")
    @classmethod
    def _processes_by_jobs(cls, value: list[str]) -> list[str]:
        for entry in value:
            if not _CROSSED.fullmatch(entry):
                raise ValueError(f"{entry!r}: must be processes x estimator jobs, such as '4x1', '1xall' or 'allx1'")
        return value


class BenchStudy(Study):
    """How long the networks of some genes take, by processes and by jobs of the estimator itself."""

    kind: Literal["bench"]
    expression: Expression
    forest: Forest = Forest()
    timings: Timings = Timings()
    prices: dict[Name, Annotated[float, Field(ge=0)]] = {}

    @model_validator(mode="after")
    def _has_jobs_of_its_own(self) -> BenchStudy:
        method, timed = self.forest.method, ("forest", "extra_trees")
        if method not in timed:
            raise ValueError(f"forest.method = {method!r}: scikit-learn's estimator is timed, one of {timed}")
        return self


def timing_jobs(study: BenchStudy, planning: Planning) -> list[JobSpec]:
    """List the jobs of a study of how long networks take.

    What was timed on one machine does not stand for another: its processor and cores are part of every key.

    Raises CortaxError: the expression matrix is missing or wrong, or has fewer genes than are to be timed.
    """
    root = planning.root
    digest = planning.digest_of(root / study.expression.file)
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
            key = {axis: str(asked[axis]) for axis in ("solver", "n_targets", "n_genes", "setting")}
            key["repeat"] = str(repeat + 1)
            jobs.append(JobSpec(f"time/{name}", "time_network", options, {"expression": "expression"}, key=key))
    expression = sorted_keys({**study.expression.model_dump(), "digest": digest})
    about = {"prices": study.prices, "n_cores": n_cores, "names": names}
    inputs: dict[str, str | list[str]] = {"timed": [job.name for job in jobs]}
    table = JobSpec("timings", "timings", sorted_keys(about), inputs, {"timed": "names"}, links=("timings.parquet",))
    return [JobSpec("expression", "expression", expression), *jobs, table]


def check_timings(study: BenchStudy, root: Path) -> None:
    """Do nothing: the plan looks at all there is."""


def asked_timings(study: BenchStudy, n_cores: int) -> list[dict[str, Any]]:
    """Return what is timed, each once: numbers of genes and targets, solver, processes and estimator jobs.

    scikit-learn's estimator is timed in all settings, as only it has jobs of its own; cortax's by processes.
    """
    names = ("solver", "n_genes", "n_targets", "processes", "jobs")
    asked = [dict(zip(names, values, strict=True)) for values in dict.fromkeys(_asked(study.timings, n_cores))]
    return [{**one, "setting": f"{one['processes']}x{one['jobs']}"} for one in asked]


def _asked(timings: Timings, n_cores: int) -> Iterator[tuple[str, int, int, int, int]]:
    most = max(timings.n_genes)
    for n_genes in timings.n_genes:
        for setting in timings.crossed:
            processes, jobs = (n_cores if part == "all" else int(part) for part in setting.split("x"))
            yield _PEER, n_genes, n_genes, processes, jobs
            if jobs == 1:
                yield _OWN, n_genes, n_genes, processes, 1
    # One worker, twice as many and so on, and all cores.
    doubled = sorted({*(2**k for k in range(n_cores.bit_length())), n_cores})
    for n_workers in timings.workers or doubled:
        share = timings.genes_per_worker * n_workers
        for solver in (_PEER, _OWN):
            yield solver, most, most, n_workers, 1
            if share <= most:
                yield solver, most, share, n_workers, 1
    for n_genes in timings.memory_genes:
        yield _OWN, n_genes, n_genes, n_cores, 1
