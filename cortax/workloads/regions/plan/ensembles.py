"""The jobs of strategies over several parcellations: one for each ensemble, strategy, number of members and pipeline.

They rest on what was searched and evaluated anyway. Only stacked models need more, once for a whole pool: what the
chosen configurations predict within the outer training parts (`inner`). So with another strategy, or another number of
members, nothing but the job of that ensemble runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cortax.workflow.plan.jobspec import JobSpec, sorted_keys
from cortax.workloads.regions.costs import ModelWork, expected_work
from cortax.workloads.regions.plan.models import Evaluated
from cortax.workloads.regions.plan.names import evaluation_name, job_name
from cortax.workloads.regions.study.analyses import Ensemble
from cortax.workloads.regions.study.pools import POOLED
from cortax.workloads.regions.study.study import RegionsStudy

__all__ = ["ensemble_jobs", "ensembles"]


def ensemble_jobs(
    study: RegionsStudy, evaluated: Sequence[Evaluated], searches: Mapping[str, JobSpec], works: Mapping[str, ModelWork]
) -> list[JobSpec]:
    """List the jobs of all ensembles of a study, each after those that it needs.

    An ensemble waits for all its members: where a job of one failed it is not made, and never of fewer.

    `evaluated`: the members, see `evaluations`. `searches`: the `tune` jobs of the study.
    """
    maker = _EnsembleJobs(study, evaluated, searches, works)
    for name, asked in study.ensembles.items():
        pools = study.pools_of(name)
        if "stacked" in asked.strategies:
            for pipeline, pool in pools.items():
                maker.add_inner(pipeline, pool)
        teams = {pipeline: [(one, pipeline) for one in pool] for pipeline, pool in pools.items()}
        for pipeline, team in teams.items():
            maker.add(name, asked, pipeline, [[one] for one in team])
        if asked.pooled:
            together = [list(places) for places in zip(*teams.values(), strict=True)]
            maker.add(name, asked, POOLED, together)
    return [*maker.inner.values(), *maker.jobs]


def ensembles(jobs: Sequence[JobSpec]) -> list[Evaluated]:
    """Return ensembles as evaluations, each as of one more parcellation: what is made of these can be made of those."""
    return [
        Evaluated(job.key["parcellation"], job.key["pipeline"], job, (job,), (tuple(job.covers["target"]),))
        for job in jobs
        if job.method == "ensemble"
    ]


class _EnsembleJobs:
    def __init__(
        self,
        study: RegionsStudy,
        evaluated: Sequence[Evaluated],
        searches: Mapping[str, JobSpec],
        works: Mapping[str, ModelWork],
    ) -> None:
        self._study = study
        self._evaluated = {(each.parcellation, each.pipeline): each for each in evaluated}
        self._searches, self._works = searches, works
        self.inner: dict[str, JobSpec] = {}
        self.jobs: list[JobSpec] = []

    def add_inner(self, pipeline: str, pool: Sequence[str]) -> None:
        """Add the inner predictions of all parcellations of a pool: the next number of members needs no others."""
        for parcellation in pool:
            for part in self._evaluated[parcellation, pipeline].parts:
                name = job_name("inner", part.key)
                work = expected_work("inner", self._works[part.name])
                options = sorted_keys({key: part.options[key] for key in ("choose", "code", "fold")})
                self.inner[name] = JobSpec(
                    name, "inner", options, part.jobs, key=part.key, covers=part.covers, work=work
                )

    def add(self, name: str, asked: Ensemble, pipeline: str, pool: Sequence[Sequence[tuple[str, str]]]) -> None:
        """Add the ensembles of the first members of a pool, each one parcellation with one pipeline or with all."""
        for n in asked.n_members or [len(pool)]:
            members = [self._evaluated[one] for places in pool[:n] for one in places]
            for strategy in asked.strategies:
                self.jobs.append(self._ensemble(f"{name}/{strategy}-{n}", pipeline, strategy, members))

    def _ensemble(self, name: str, pipeline: str, strategy: str, members: Sequence[Evaluated]) -> JobSpec:
        slot = {"grid": "tune", "stacked": "inner"}.get(strategy)
        places = [(n, *found) for n, each in enumerate(members) for found in zip(each.parts, each.take, strict=True)]
        parts = places if slot else []
        inputs: dict[str, str | list[str]] = {
            "split": "split",
            "targets": [f"target/{target}" for target in sorted(self._study.targets)],
            "evaluate": [each.whole.name for each in members],
            "tune": [str(part.jobs["tune"]) for _, part, _ in parts if slot == "tune"],
            "inner": [job_name("inner", part.key) for _, part, _ in parts if slot == "inner"],
        }
        options = {
            "choose": "best",  # of stacked models alone, as are scorers
            "scorers": {},
            **self._study.evaluate.model_dump(exclude={"choose"}),
            "members": [evaluation_name(each.whole.key) for each in members],
            "parts": [self._about(*place) for place in parts],
            "strategy": strategy,
        }
        if strategy == "stacked":
            options |= {"choose": self._study.evaluate.choose, "scorers": self._study.search.model_dump()}
        key, covers = {"parcellation": name, "pipeline": pipeline}, {"target": sorted(self._study.targets)}
        return JobSpec(job_name("ensemble", key), "ensemble", sorted_keys(options), inputs, key=key, covers=covers)

    def _about(self, member: int, part: JobSpec, take: Sequence[str]) -> Mapping[str, Any]:
        """What a search or inner predictions have: the targets in their own order, which is that of the search."""
        searched = self._searches[str(part.jobs["tune"])].options["targets"]
        return {"member": member, "targets": sorted(searched), "take": list(take), "fold": part.options["fold"]}
