"""The jobs of a study's models: searched, evaluated and collected by parcellation and pipeline, block and fold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cortax.errors import StudyError
from cortax.learning.search.registry import estimator_names, solver_modules
from cortax.provenance.closure import class_code, file_code
from cortax.workflow.plan.blocks import Block, cut_blocks, retired
from cortax.workflow.plan.jobspec import JobSpec, sorted_keys
from cortax.workflow.workload import Planning
from cortax.workloads.regions.costs import ModelWork, expected_work
from cortax.workloads.regions.plan.names import FOLD, job_name
from cortax.workloads.regions.study.study import RegionsStudy

__all__ = ["Evaluated", "Regions", "evaluations", "model_jobs"]


@dataclass(frozen=True)
class Evaluated:
    """One parcellation and pipeline, all targets and outer folds.

    Attributes
    ----------
    whole : JobSpec
        The job that holds all its predictions and scores: `collect` where it was made in parts, otherwise `evaluate`.
    parts : tuple of JobSpec
        The `evaluate` jobs that it is made of.
    take : tuple of tuple of str
        The names of the targets that are taken from each part.
    """

    parcellation: str
    pipeline: str
    whole: JobSpec
    parts: tuple[JobSpec, ...]
    take: tuple[tuple[str, ...], ...]


def evaluations(models: Sequence[JobSpec]) -> list[Evaluated]:
    """Group the jobs of models by parcellation and pipeline, in the order of the study."""
    parts: dict[tuple[str, str], list[JobSpec]] = {}
    whole: dict[tuple[str, str], JobSpec] = {}
    for job in models:
        if job.method not in ("evaluate", "collect"):
            continue
        key = (job.key["parcellation"], job.key["pipeline"])
        if job.method == "evaluate":
            parts.setdefault(key, []).append(job)
        whole[key] = job
    return [
        Evaluated(*key, whole[key], tuple(found), tuple(tuple(job.covers["target"]) for job in found))
        for key, found in parts.items()
    ]


@dataclass(frozen=True)
class Regions:
    """A set of regions: the job that makes it, and its size as far as it is known."""

    job: str
    n_subjects: int
    n_regions: int


# Keys of `[phenotypes]` that say whose rows of which tables are read; the others are about confounds and groups.
_PEOPLE = (
    *("file", "join", "id", "id_prefix", "id_rule", "where", "include", "exclude", "sessions"),
    *("missing", "outlier_sd"),
)


def target_job(
    study: RegionsStudy, name: str, definition: Mapping[str, Any], digests: Mapping[str, str], called: str
) -> JobSpec:
    """Return the job that reads one target; the digests of the table's files are part of it."""
    options = {
        **study.phenotypes.model_dump(include=set(_PEOPLE)),
        "digests": dict(digests),
        "name": name,
        "target": dict(definition),
    }
    return JobSpec(called, "target", sorted_keys(options), {"split": "split"}, key={"target": name})


def model_jobs(
    study: RegionsStudy, regions: Mapping[str, Regions], planning: Planning, digests: Mapping[str, str]
) -> tuple[list[JobSpec], dict[str, ModelWork]]:
    """List the jobs that read targets, search, evaluate and collect, each after those that it needs.

    Parameters
    ----------
    regions : mapping of parcellation (or table) to Regions
    digests : mapping of path to digest
        Of the files of the phenotype table.

    Returns
    -------
    list of JobSpec
    dict
        For each evaluation, by the name of its job, the models that it fits.

    Raises
    ------
    StudyError
        No parcellation is left for a pipeline.
    """
    maker = _ModelJobs(study, digests, planning)
    for pipeline in study.pipelines:
        names = study.parcellations_of(pipeline)
        if not names:
            raise StudyError(f"pipelines.{pipeline}: no parcellation is left for it")
        for name in names:
            maker.add(name, pipeline, regions[name])
    steps = ("target", "tune", "evaluate", "collect")
    return [job for step in steps for job in maker.jobs if job.method == step], maker.works


class _ModelJobs:
    def __init__(self, study: RegionsStudy, digests: Mapping[str, str], planning: Planning) -> None:
        self._study, self._digests, self._planning, self._past = study, digests, planning, planning.past
        self._definitions = {name: target.model_dump() for name, target in study.targets.items()}
        self._options: dict[str, dict[str, Any]] = {}
        self._read: dict[tuple[str, str], str] = {}
        self.jobs: list[JobSpec] = []
        self.works: dict[str, ModelWork] = {}
        self._targets = [self._target(name, found) for name, found in sorted(self._definitions.items())]

    def _target(self, name: str, definition: Mapping[str, Any]) -> str:
        """Name of the job that reads a target; one that the study no longer has is called by what it was."""
        text = json.dumps(definition, sort_keys=True)
        if (name, text) not in self._read:
            called = f"target/{name}"
            if self._definitions.get(name) != definition:
                called = f"retired/{name}/{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            self.jobs.append(target_job(self._study, name, definition, self._digests, called))
            self._read[name, text] = called
        return self._read[name, text]

    def _searching(self, pipeline: str) -> dict[str, Any]:
        """Options of the searches of a pipeline, but for the targets and the fold."""
        if pipeline not in self._options:
            asked = self._study.pipelines[pipeline]
            solvers = solver_modules(asked.kind) if asked.solver == "fast" else []
            code = class_code([*estimator_names(asked.estimators), *solvers]) | self._files(pipeline, asked.reads)
            about = {"scorers": self._study.search.model_dump(), "seed": self._study.seed, "code": code}
            self._options[pipeline] = sorted_keys({**asked.model_dump(exclude={"parcellations", "reads"}), **about})
        return self._options[pipeline]

    def _files(self, pipeline: str, paths: Sequence[str]) -> dict[str, str]:
        """Digests of the files that own code is said to read: part of the code of every job that runs it."""
        root, where = self._planning.root, f"pipelines.{pipeline}.reads"
        for path in paths:
            if not (root / path).is_file():
                state = "a folder; name the files in it" if (root / path).is_dir() else "no such file"
                raise StudyError(f"{where}: {root / path}: {state}")
        return file_code(paths, root, self._planning.digest_of)

    def add(self, name: str, pipeline: str, regions: Regions) -> None:
        """Add the jobs of one parcellation and pipeline."""
        splits = self._study.splits
        n_outer = splits.n_outer * splits.n_repeats
        by_fold = self._study.is_by_fold(name, regions.n_regions)
        blocks = self._blocks({"parcellation": name, "pipeline": pipeline}, self._searching(pipeline), by_fold)
        parts = []
        for block in blocks:
            folds: Sequence[int | None] = range(n_outer) if block.by_fold else [None]
            work = self._work(block, pipeline, regions, n_outer // len(folds))
            parts += [self._part(block, fold, name, pipeline, regions.job, work) for fold in folds]
        if len(blocks) > 1 or blocks[0].by_fold or blocks[0].targets != self._definitions:
            self._collect(name, pipeline, parts)

    def _blocks(self, key: Mapping[str, str], options: dict[str, Any], by_fold: bool | None) -> list[Block]:
        """Cut the targets of one parcellation and pipeline; where the study does not say how, what is done stays."""
        known: dict[tuple[str, bool], Block] = {}
        past = self._past.reusable("tune", self._study.name, key) if self._past else []
        for past_key, found in past:
            rest = {key: value for key, value in found.items() if key not in ("targets", "fold")}
            cut = found["fold"] is not None
            if rest == options and by_fold in (cut, None):
                block = Block(past_key.get("block", ""), found["targets"], by_fold=cut)
                if all(self._still_read(target, was) for target, was in retired(block, self._definitions).items()):
                    known.setdefault((json.dumps(found["targets"], sort_keys=True), cut), block)
        return cut_blocks(self._definitions, list(known.values()), by_fold=bool(by_fold))

    def _still_read(self, name: str, definition: Mapping[str, Any]) -> bool:
        """Whether a target that is no longer asked for is there, of the phenotype table as it is now."""
        return self._past is not None and self._past.finished(
            target_job(self._study, name, definition, self._digests, "")
        )

    def _part(self, block: Block, fold: int | None, name: str, pipeline: str, regions: str, work: ModelWork) -> JobSpec:
        """Add the search and the evaluation of one block and fold, and return the latter."""
        key = {"parcellation": name, "pipeline": pipeline}
        key |= {"block": block.name} if block.name else {}
        key |= {} if fold is None else {FOLD: str(fold)}
        targets = [self._target(target, block.targets[target]) for target in sorted(block.targets)]
        inputs: dict[str, str | list[str]] = {"regions": regions, "split": "split", "targets": targets}
        what: dict[str, Any] = {"key": key, "covers": {"target": list(block.takes)}}
        options = self._searching(pipeline)
        search = sorted_keys({**options, "targets": dict(block.targets), "fold": fold})
        # One fold by itself is not scored: that is done where all are collected.
        scoring = self._scoring() if fold is None else {"metrics": {}, "confidence": 0.0}
        about_refit = {"choose": self._study.evaluate.choose, "code": options["code"], "seed": self._study.seed}
        refit = sorted_keys({**about_refit, **scoring, "fold": fold})
        tune, evaluate = job_name("tune", key), job_name("evaluate", key)
        self.jobs.append(JobSpec(tune, "tune", search, inputs, work=expected_work("tune", work), **what))
        inputs = {**inputs, "tune": tune}
        self.jobs.append(JobSpec(evaluate, "evaluate", refit, inputs, work=expected_work("evaluate", work), **what))
        self.works[evaluate] = work
        return self.jobs[-1]

    def _work(self, block: Block, pipeline: str, regions: Regions, n_folds: int) -> ModelWork:
        tasks = [definition["kind"] for definition in block.targets.values()]
        return ModelWork(
            pipeline=pipeline,
            kind=self._study.pipelines[pipeline].kind,
            n_subjects=regions.n_subjects,
            n_regions=regions.n_regions,
            n_targets={task: tasks.count(task) for task in sorted(set(tasks))},
            n_configs=self._study.pipelines[pipeline].n_configs,
            n_outer=n_folds,
            n_inner=self._study.splits.n_inner,
        )

    def _scoring(self) -> dict[str, Any]:
        return self._study.evaluate.model_dump(exclude={"choose"})

    def _collect(self, name: str, pipeline: str, parts: Sequence[JobSpec]) -> None:
        inputs: dict[str, str | list[str]] = {
            "split": "split",
            "targets": self._targets,
            "evaluate": [part.name for part in parts],
        }
        take = [part.covers["target"] for part in parts]
        options = sorted_keys({**self._scoring(), "take": take})
        key = {"parcellation": name, "pipeline": pipeline}
        covers = {"target": sorted(self._definitions)}
        # It does without a block that failed, but not without a fold.
        whole = all(FOLD not in part.key for part in parts)
        optional = {"evaluate": "take"} if whole else {}
        self.jobs.append(
            JobSpec(job_name("collect", key), "collect", options, inputs, optional, key=key, covers=covers)
        )
