"""A study's grid as jobs, cut by natural keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortax.brain.data.dropped import NOT_LISTED
from cortax.brain.data.map_files import MapFiles, find_images, inventory
from cortax.brain.data.people_files import people_digests
from cortax.brain.parcellation.spec_files import spec_digests
from cortax.report.plan import report_job
from cortax.workflow.plan.jobspec import JobSpec, sorted_keys
from cortax.workflow.workload import Planning
from cortax.workloads.regions.plan.analyses import analysis_jobs
from cortax.workloads.regions.plan.importances import picture_jobs
from cortax.workloads.regions.plan.models import Regions, model_jobs
from cortax.workloads.regions.plan.names import job_name
from cortax.workloads.regions.plan.sizes import Sizes
from cortax.workloads.regions.study.sections import Connectivity
from cortax.workloads.regions.study.study import RegionsStudy

__all__ = ["regions_jobs"]


def regions_jobs(study: RegionsStudy, planning: Planning) -> list[JobSpec]:
    """List the jobs of a study, each after those that it needs.

    `planning`: what was done before decides which targets are searched together; no number depends on it, but for
    rounding. Raises CortaxError: an input file is missing or wrong, or a parcellation's specification is.
    """
    study = study.in_project(planning.root)
    sizes = Sizes(planning.root / ".cortax" / "sizes.json")
    people = study.phenotypes.model_dump()
    digests = people_digests(people, planning.root, planning.digest_of)
    sources, regions, files = _sources(study, planning, sizes, digests)
    phenotype = replace(_phenotype(study, digests, files), notes=sizes.notes_on_people(people, digests, planning.root))
    sizes.save()
    split = _split(study, [spec.name for spec in sources if spec.method != "parcellate"])
    models, works = model_jobs(study, regions, planning, digests)
    first = [*sources, phenotype, split, *models]
    found = [*first, *analysis_jobs(study, models, regions, works)]
    found += picture_jobs(study, found)
    return [*found, report_job(study, found, planning, "report")] if study.report.enabled else found


def _sources(
    study: RegionsStudy, planning: Planning, sizes: Sizes, people: dict[str, str]
) -> tuple[list[JobSpec], dict[str, Regions], MapFiles | None]:
    """Jobs that make regions and what those need; for each set of regions its job and size; and the images.

    `people`: the digests of the files of the phenotype table.
    """
    root, digest_of = planning.root, planning.digest_of
    jobs: list[JobSpec] = []
    regions: dict[str, Regions] = {}
    files = None
    listed = frozenset[str]()
    if study.images is not None or study.connectivity:  # of nobody else files are read
        listed = sizes.identifiers(study.phenotypes.model_dump(), people, root)
    if study.images is not None:
        files = find_images(study.images.model_dump(), root, leave_out=lambda subject: subject not in listed)
        nothing: dict[tuple[str, ...], list[str]] = {}
        for name, spec in study.parcellations.items():
            job = _parcellate(name, spec, planning)
            n_regions = sizes.n_regions(spec, job.options["digests"], root) * len(files.maps)
            nothing.setdefault(sizes.background(spec, job.options["digests"], root), []).append(name)
            jobs.append(job)
            regions[name] = Regions(job.name, len(files.subjects), n_regions)
        notes = (f"no region, but background: {', '.join(n)} (in {', '.join(of)})" for n, of in nothing.items() if n)
        jobs.insert(0, replace(_load(study, files, planning), notes=tuple(notes)))
    for name, table in study.tables.items():
        digests = [digest_of(root / file) for file in table.inputs]
        key = {"parcellation": name}
        options = sorted_keys({**table.model_dump(), "digests": digests})
        said = sizes.notes_on_table(name, table.model_dump(), digests, root)
        job = JobSpec(job_name("table", key), "table", options, key=key, notes=said)
        jobs.append(job)
        regions[name] = Regions(job.name, *sizes.of_table(table.model_dump(), digests, root))
    for name, matrices in study.connectivity.items():
        found = find_images(matrices.as_images(name), root, leave_out=lambda subject: subject not in listed)
        job = _connectivity(name, matrices, found, planning)
        jobs.append(job)
        regions[name] = Regions(job.name, len(found.subjects), sizes.n_edges(found, job.options["inventory"]))
    return jobs, regions, files


def _connectivity(name: str, matrices: Connectivity, files: MapFiles, planning: Planning) -> JobSpec:
    labels = matrices.labels and planning.digest_of(planning.root / matrices.labels)
    options = {**matrices.model_dump(), "name": name, "labels_digest": labels, **_content(files, planning)}
    key = {"parcellation": name}
    return JobSpec(job_name("connectivity", key), "connectivity", sorted_keys(options), key=key)


def _content(files: MapFiles, planning: Planning) -> dict[str, Any]:
    others = [drop.participant_id for drop in files.dropped if drop.reason == NOT_LISTED]
    return {"inventory": inventory(files, planning.digest_of)[1], "leave_out": others}


def _load(study: RegionsStudy, files: MapFiles, planning: Planning) -> JobSpec:
    about = study.images.model_dump() if study.images else {}
    return JobSpec("load", "load", sorted_keys({**about, **_content(files, planning)}))


def _parcellate(name: str, spec: dict[str, Any], planning: Planning) -> JobSpec:
    atlas = {key: value for key, value in spec.items() if key != "statistic"}
    digests = spec_digests(atlas, planning.root, planning.digest_of)
    options = {"atlas": atlas, "name": name, "digests": digests, "statistic": spec.get("statistic", "mean")}
    key = {"parcellation": name}
    return JobSpec(job_name("parcellate", key), "parcellate", sorted_keys(options), {"load": "load"}, key=key)


def _phenotype(study: RegionsStudy, digests: dict[str, str], images: MapFiles | None) -> JobSpec:
    options = {
        **study.phenotypes.model_dump(),
        "digests": digests,
        "stratify": study.splits.stratify,
        "endings": study.endings(images.endings if images else ()),
        "harmonise": study.harmonising,
    }
    return JobSpec("phenotype", "phenotype", sorted_keys(options))


def _split(study: RegionsStudy, with_subjects: list[str]) -> JobSpec:
    options = {**study.splits.model_dump(exclude={"stratify"}), "seed": study.seed}
    return JobSpec("split", "split", sorted_keys(options), {"phenotype": "phenotype", "subjects": with_subjects})
