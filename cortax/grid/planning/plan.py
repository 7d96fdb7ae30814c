"""A study's grid as jobs, cut by natural keys: what each is called, runs with and depends on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortax.data.map_files import MapFiles, find_maps, inventory
from cortax.grid.planning.analyses import analysis_jobs
from cortax.grid.planning.jobspec import JobSpec, sorted_keys
from cortax.grid.planning.models import Past, Regions, model_jobs
from cortax.grid.planning.network_timings import timing_jobs
from cortax.grid.planning.networks import network_jobs
from cortax.grid.planning.reporting import picture_jobs, report_jobs
from cortax.grid.planning.sizes import Sizes
from cortax.parcellation.spec_files import spec_digests
from cortax.study import AnyStudy, NetworkScaling, NetworkStudy, Study

__all__ = ["JobSpec", "plan"]

Digest = Callable[[Path], str]


def plan(study: AnyStudy, root: Path, digest_of: Digest, past: Past | None = None) -> list[JobSpec]:
    """List the jobs of a study, each after those that it needs.

    Parameters
    ----------
    study : Study or NetworkStudy
        What is asked for.
    root : Path
        What the paths in the study are relative to.
    digest_of : callable
        Gives the digest of an input file; a remembering one makes this fast.
    past : Past, optional
        What was done before: targets that were searched together stay together. It decides which jobs there are,
        never what they find, but for rounding.

    Raises
    ------
    CortaxError
        An input file is missing or wrong, or a parcellation's specification is.
    """
    if isinstance(study, NetworkStudy):
        return network_jobs(study, root, digest_of, past)
    if isinstance(study, NetworkScaling):
        return timing_jobs(study, root, digest_of)
    sizes = Sizes(root / ".cortax" / "sizes.json")
    sources, regions = _sources(study, root, digest_of, sizes)
    sizes.save()
    split = _split(study, [spec.name for spec in sources if spec.method != "parcellate"])
    models = model_jobs(study, regions, digest_of, root, past)
    first = [*sources, _phenotype(study, root, digest_of), split, *models]
    found = [*first, *analysis_jobs(study, models, regions)]
    found += picture_jobs(study, found)
    return [*found, *report_jobs(study, found, root, digest_of)]


def _sources(study: Study, root: Path, digest_of: Digest, sizes: Sizes) -> tuple[list[JobSpec], dict[str, Regions]]:
    """Jobs that make regions and what those need; and for each set of regions its job and size."""
    jobs: list[JobSpec] = []
    regions: dict[str, Regions] = {}
    if study.images is not None:
        files = find_maps(root / study.images.root, study.images.maps)
        jobs.append(_load(study, files, digest_of))
        for name, spec in study.parcellations.items():
            job = _parcellate(name, spec, root, digest_of)
            n_regions = sizes.n_regions(spec, job.options["digests"], root) * len(files.maps)
            jobs.append(job)
            regions[name] = Regions(job.name, len(files.subjects), n_regions)
    for name, table in study.tables.items():
        digests = [digest_of(root / file) for file in table.files]
        job = JobSpec(f"table/{name}", "table", sorted_keys({**table.model_dump(), "digests": digests}))
        jobs.append(job)
        regions[name] = Regions(job.name, *sizes.of_table(table.model_dump(), digests, root))
    return jobs, regions


def _load(study: Study, files: MapFiles, digest_of: Digest) -> JobSpec:
    about = study.images.model_dump() if study.images else {}
    return JobSpec("load", "load", sorted_keys({**about, "inventory": inventory(files, digest_of)[1]}))


def _parcellate(name: str, spec: dict[str, Any], root: Path, digest_of: Digest) -> JobSpec:
    atlas = {key: value for key, value in spec.items() if key != "statistic"}
    digests = spec_digests(atlas, root, digest_of)
    options = {"atlas": atlas, "name": name, "digests": digests, "statistic": spec.get("statistic", "mean")}
    about = {"parcellation": name}
    return JobSpec(f"parcellate/{name}", "parcellate", sorted_keys(options), {"load": "load"}, about=about)


def _phenotype(study: Study, root: Path, digest_of: Digest) -> JobSpec:
    about = study.phenotypes
    options = {
        **about.model_dump(exclude={"outlier_sd"}),
        "digest": digest_of(root / about.file),
        "stratify": study.splits.stratify,
    }
    return JobSpec("phenotype", "phenotype", sorted_keys(options))


def _split(study: Study, with_subjects: list[str]) -> JobSpec:
    options = {**study.splits.model_dump(exclude={"stratify"}), "seed": study.seed}
    return JobSpec("split", "split", sorted_keys(options), {"phenotype": "phenotype", "subjects": with_subjects})
