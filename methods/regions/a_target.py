"""Read one target of the subjects that are studied."""

import json
from dataclasses import asdict
from pathlib import Path

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read one target of the subjects that are studied, and make sure that every fold can score it"
depend_extra = manifest(__name__)
options = {
    "file": None,  # or several, which are joined
    "digests": {},  # of it, and of what else says who is studied
    "name": "",
    "target": {},  # its kind, column, positive class and order
    "join": [],
    "id": [],
    "id_prefix": "",
    "id_rule": None,
    "where": "",
    "include": None,
    "exclude": None,
    "sessions": [],
    "missing": [],
    "outlier_sd": None,
}
jobs = ("split",)


def synthesis(job):
    from cortax.brain.data.people_files import people_digests
    from cortax.brain.data.phenotype_table import people_of, read_target_values
    from cortax.data.files import reading_once
    from cortax.errors import InputError
    from cortax.learning.cohort import open_cohort, save_target
    from cortax.learning.folds import check_targets, open_folds

    outputs.check_all(jobs)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    people = people_of(options, find_root())
    with reading_once() as digest_of:
        found, (report,) = read_target_values(people, {options.name: options.target}, outlier_sd=options.outlier_sd)
        digests = people_digests(options, find_root(), digest_of)
    if digests != options.digests:
        raise InputError(f"{options.file}: changed since the build began, or a file with it; start it again")
    values = found.loc[list(cohort.subjects), [options.name]].to_numpy()
    check_targets(folds, values, kinds=[report.kind], names=[options.name], classes={options.name: report.classes})
    saved = save_target(job.path, options.name, report.kind, values[:, 0])
    Path(job.filename("report.json")).write_text(json.dumps(asdict(report), indent=1))
    print(
        f"{report.n_values} values, {report.n_missing} missing, {report.n_outliers} outliers made missing", report.note
    )
    outputs.record(job.path, saved, ["report.json"], method=job.method, name=job.params.caption)
