"""The jobs of a study's models: searched, evaluated and collected by parcellation and pipeline, block and fold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cortax.errors import StudyError
from cortax.grid.planning.blocks import Block, cut_blocks, retired
from cortax.grid.planning.jobspec import JobSpec, Work, sorted_keys
from cortax.provenance.closure import class_code
from cortax.search.registry import solver_modules
from cortax.study import Study

__all__ = ["Past", "Regions", "model_jobs", "target_job"]


class Past(Protocol):
    """What was done before, as far as it decides how work is cut."""

    def reusable(self, method: str, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Name and options of finished jobs called so, or so and `/...` or `@...`, of present code; newest first."""

    def finished(self, spec: JobSpec) -> bool:
        """Whether a job of this method, these options and present code is there, whatever its inputs."""


@dataclass(frozen=True)
class Regions:
    """A set of regions: the job that makes it, and its size as far as it is known."""

    job: str
    n_subjects: int
    n_regions: int


def target_job(study: Study, name: str, definition: Mapping[str, Any], digest: str, called: str) -> JobSpec:
    """Return the job that reads one target; the table's digest is part of it."""
    about = study.phenotypes
    options = {
        **{key: getattr(about, key) for key in ("file", "id", "id_prefix", "sessions", "outlier_sd")},
        "digest": digest,
        "name": name,
        "target": dict(definition),
    }
    return JobSpec(called, "target", sorted_keys(options), {"split": "split"}, about={"targets": [name]})


def model_jobs(
    study: Study, regions: Mapping[str, Regions], digest_of: Callable[[Path], str], root: Path, past: Past | None
) -> list[JobSpec]:
    """List the jobs that read targets, search, evaluate and collect, each after those that it needs.

    Parameters
    ----------
    study : Study
    regions : mapping of parcellation (or table) to Regions
    digest_of, root
        See `plan`.
    past : Past, optional
        Decides which targets are searched together; without it all are. No number depends on it, but for rounding.

    Raises
    ------
    StudyError
        No parcellation is left for a pipeline.
    """
    maker = _Maker(study, digest_of(root / study.phenotypes.file), past)
    for pipeline in study.pipelines:
        names = study.parcellations_of(pipeline)
        if not names:
            raise StudyError(f"pipelines.{pipeline}: no parcellation is left for it")
        for name in names:
            maker.add(name, pipeline, regions[name])
    return [job for method in ("target", "tune", "evaluate", "collect") for job in maker.jobs if job.method == method]


class _Maker:
    def __init__(self, study: Study, digest: str, past: Past | None) -> None:
        self._study, self._digest, self._past = study, digest, past
        self._definitions = {name: target.model_dump() for name, target in study.targets.items()}
        self._options: dict[str, dict[str, Any]] = {}
        self._read: dict[tuple[str, str], str] = {}
        self.jobs: list[JobSpec] = []
        self._targets = [self._target(name, found) for name, found in sorted(self._definitions.items())]

    def _target(self, name: str, definition: Mapping[str, Any]) -> str:
        """Name of the job that reads a target; one that the study no longer has is called by what it was."""
        text = json.dumps(definition, sort_keys=True)
        if (name, text) not in self._read:
            called = f"target/{name}"
            if self._definitions.get(name) != definition:
                called = f"retired/{name}/{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            self.jobs.append(target_job(self._study, name, definition, self._digest, called))
            self._read[name, text] = called
        return self._read[name, text]

    def _searching(self, pipeline: str) -> dict[str, Any]:
        """Options of the searches of a pipeline, but for the targets and the fold."""
        if pipeline not in self._options:
            asked = self._study.pipelines[pipeline]
            solvers = solver_modules(asked.kind) if asked.solver == "fast" else []
            code = class_code([asked.regression, asked.classification, *solvers])
            about = {"scorers": self._study.search.model_dump(), "seed": self._study.seed, "code": code}
            self._options[pipeline] = sorted_keys({**asked.model_dump(exclude={"parcellations"}), **about})
        return self._options[pipeline]

    def add(self, name: str, pipeline: str, regions: Regions) -> None:
        """Add the jobs of one parcellation and pipeline."""
        splits = self._study.splits
        n_outer = splits.n_outer * splits.n_repeats
        by_fold = self._study.is_by_fold(name, regions.n_regions)
        blocks = self._blocks(f"{name}/{pipeline}", self._searching(pipeline), by_fold)
        parts = []
        for block in blocks:
            folds: Sequence[int | None] = range(n_outer) if block.by_fold else [None]
            work = self._work(block, pipeline, regions, n_outer // len(folds))
            parts += [self._part(block, fold, name, pipeline, regions.job, work) for fold in folds]
        if len(blocks) > 1 or blocks[0].by_fold or blocks[0].targets != self._definitions:
            self._collect(name, pipeline, parts)

    def _blocks(self, cell: str, options: dict[str, Any], by_fold: bool | None) -> list[Block]:
        """Cut the targets of one parcellation and pipeline; where the study does not say how, what is done stays."""
        known: dict[tuple[str, bool], Block] = {}
        called = f"{self._study.name}/tune/{cell}"
        for past_name, found in self._past.reusable("tune", called) if self._past else []:
            rest = {key: value for key, value in found.items() if key not in ("targets", "fold")}
            cut = found["fold"] is not None
            if rest == options and by_fold in (cut, None):
                name = past_name.removeprefix(called).partition("@")[0].removeprefix("/")
                block = Block(name, found["targets"], by_fold=cut)
                if all(self._still_read(target, was) for target, was in retired(block, self._definitions).items()):
                    known.setdefault((json.dumps(found["targets"], sort_keys=True), cut), block)
        return cut_blocks(self._definitions, list(known.values()), by_fold=bool(by_fold))

    def _still_read(self, name: str, definition: Mapping[str, Any]) -> bool:
        """Whether a target that is no longer asked for is there, of the phenotype table as it is now."""
        return self._past is not None and self._past.finished(
            target_job(self._study, name, definition, self._digest, "")
        )

    def _part(self, block: Block, fold: int | None, name: str, pipeline: str, regions: str, work: Work) -> JobSpec:
        """Add the search and the evaluation of one block and fold, and return the latter."""
        cell = f"{name}/{pipeline}" + (f"/{block.name}" if block.name else "") + ("" if fold is None else f"@{fold}")
        targets = [self._target(target, block.targets[target]) for target in sorted(block.targets)]
        inputs: dict[str, str | list[str]] = {"regions": regions, "split": "split", "targets": targets}
        about = {"parcellation": name, "pipeline": pipeline, "targets": list(block.takes), "fold": fold}
        options = self._searching(pipeline)
        search = sorted_keys({**options, "targets": dict(block.targets), "fold": fold})
        # One fold by itself is not scored: that is done where all are collected.
        scoring = self._scoring() if fold is None else {"metrics": {}, "n_bootstrap": 0, "confidence": 0.0}
        about_refit = {"choose": self._study.evaluate.choose, "code": options["code"], "seed": self._study.seed}
        refit = sorted_keys({**about_refit, **scoring, "fold": fold})
        self.jobs.append(JobSpec(f"tune/{cell}", "tune", search, inputs, about=about, work=work))
        inputs = {**inputs, "tune": f"tune/{cell}"}
        self.jobs.append(JobSpec(f"evaluate/{cell}", "evaluate", refit, inputs, about=about, work=work))
        return self.jobs[-1]

    def _work(self, block: Block, pipeline: str, regions: Regions, n_folds: int) -> Work:
        tasks = [definition["kind"] for definition in block.targets.values()]
        return Work(
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
        take = [part.about["targets"] for part in parts]
        options = sorted_keys({**self._scoring(), "seed": self._study.seed, "take": take})
        about = {"parcellation": name, "pipeline": pipeline, "targets": sorted(self._definitions), "fold": None}
        # It does without a block that failed, but not without a fold.
        whole = all(part.about["fold"] is None for part in parts)
        listed = {"evaluate": "take"} if whole else {}
        self.jobs.append(JobSpec(f"collect/{name}/{pipeline}", "collect", options, inputs, listed, about))
