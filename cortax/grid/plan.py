"""A study's grid as jobs, cut by natural keys: what each is called, runs with and depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortax.data.map_files import find_maps, inventory
from cortax.errors import StudyError
from cortax.parcellation.spec_files import spec_digests
from cortax.provenance.closure import class_code
from cortax.search.solvers import solver_modules
from cortax.study import Study

__all__ = ["JobSpec", "plan"]

Digest = Callable[[Path], str]


@dataclass(frozen=True)
class JobSpec:
    """One job of a study.

    Attributes
    ----------
    name : str
        What users look it up by, such as `tune/schaefer-400/ridge`.
    method : str
        The Exax method.
    options : dict
        Everything but other jobs that its result depends on; JSON values, keys sorted.
    jobs : dict
        For each job input of the method the name of another job, or a list of names.
    """

    name: str
    method: str
    options: dict[str, Any]
    jobs: dict[str, str | list[str]] = field(default_factory=dict)


def plan(study: Study, root: Path, digest_of: Digest) -> list[JobSpec]:
    """List the jobs of a study, each after those that it needs.

    Parameters
    ----------
    study : Study
        What is asked for.
    root : Path
        What the paths in the study are relative to.
    digest_of : callable
        Gives the digest of an input file; a remembering one makes this fast.

    Raises
    ------
    CortaxError
        An input file is missing, or a parcellation's specification is wrong.
    """
    sources = [*_images(study, root, digest_of), *_tables(study, root, digest_of)]
    region_jobs = {spec.name.partition("/")[2]: spec.name for spec in sources if spec.method != "load"}
    with_subjects = [spec.name for spec in sources if spec.method != "parcellate"]
    split = _split(study, with_subjects)
    models = [job for name in study.pipelines for job in _models(study, name, region_jobs)]
    tuned = [job for job in models if job.method == "tune"]
    evaluated = [job for job in models if job.method == "evaluate"]
    scores = JobSpec(
        "scores",
        "scores",
        _sorted({"study": study.name, "evaluations": [job.name.partition("/")[2] for job in evaluated]}),
        {"evaluate": [job.name for job in evaluated]},
    )
    return [*sources, _phenotype(study, root, digest_of), split, *tuned, *evaluated, scores]


def _images(study: Study, root: Path, digest_of: Digest) -> list[JobSpec]:
    if study.images is None:
        return []
    files = find_maps(root / study.images.root, study.images.maps)
    _, digest = inventory(files, digest_of)
    load = JobSpec("load", "load", _sorted({**study.images.model_dump(), "inventory": digest}))
    return [load, *(_parcellate(name, spec, root, digest_of) for name, spec in study.parcellations.items())]


def _parcellate(name: str, spec: dict[str, Any], root: Path, digest_of: Digest) -> JobSpec:
    atlas = {key: value for key, value in spec.items() if key != "statistic"}
    digests = spec_digests(atlas, root, digest_of)
    options = {"atlas": atlas, "name": name, "digests": digests, "statistic": spec.get("statistic", "mean")}
    return JobSpec(f"parcellate/{name}", "parcellate", _sorted(options), {"load": "load"})


def _tables(study: Study, root: Path, digest_of: Digest) -> list[JobSpec]:
    return [
        JobSpec(
            f"table/{name}",
            "table",
            _sorted({**table.model_dump(), "digests": [digest_of(root / file) for file in table.files]}),
        )
        for name, table in study.tables.items()
    ]


def _phenotype(study: Study, root: Path, digest_of: Digest) -> JobSpec:
    about = study.phenotypes
    options = {
        **about.model_dump(),
        "digest": digest_of(root / about.file),
        "stratify": study.splits.stratify,
        "targets": {name: target.model_dump() for name, target in study.targets.items()},
    }
    return JobSpec("phenotype", "phenotype", _sorted(options))


def _split(study: Study, with_subjects: list[str]) -> JobSpec:
    options = {**study.splits.model_dump(exclude={"stratify"}), "seed": study.seed}
    return JobSpec("split", "split", _sorted(options), {"phenotype": "phenotype", "subjects": with_subjects})


def _models(study: Study, name: str, region_jobs: dict[str, str]) -> list[JobSpec]:
    pipeline = study.pipelines[name]
    names = study.parcellations_of(name)
    if not names:
        raise StudyError(f"pipelines.{name}: no parcellation is left for it")
    classes = [pipeline.regression, pipeline.classification]
    code = class_code([*classes, *(solver_modules(pipeline.kind) if pipeline.solver == "fast" else [])])
    options = {**pipeline.model_dump(exclude={"parcellations"}), "code": code}
    tune = _sorted({**options, "scorers": study.search.model_dump(), "seed": study.seed})
    evaluate = _sorted({**study.evaluate.model_dump(), "code": code, "seed": study.seed})
    jobs = []
    for regions in names:
        inputs: dict[str, str | list[str]] = {"regions": region_jobs[regions], "split": "split"}
        cell = f"{regions}/{name}"
        jobs.append(JobSpec(f"tune/{cell}", "tune", tune, inputs))
        jobs.append(JobSpec(f"evaluate/{cell}", "evaluate", evaluate, {**inputs, "tune": f"tune/{cell}"}))
    return jobs


def _sorted(value: Any) -> Any:
    """Sort the keys of nested dicts: Exax takes their order for a difference."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value
