"""Read one target of the subjects that are studied."""

import json
from dataclasses import asdict
from pathlib import Path

from cortax.cohort import open_cohort, save_target
from cortax.data.phenotype_table import read_target_values
from cortax.errors import InputError
from cortax.folds import check_targets, open_folds
from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.provenance.files import file_digest

description = "Read one target of the subjects that are studied, and make sure that every fold can score it"
depend_extra = manifest(__name__)
options = {
    "file": "",
    "digest": "",
    "name": "",
    "target": {},  # its kind, column and positive class
    "id": [],
    "id_prefix": "",
    "sessions": [],
    "outlier_sd": None,
}
jobs = ("split",)

ROOT = Path(__file__).resolve().parents[1]


def synthesis(job):
    outputs.check(jobs.split.path)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    path = ROOT / options.file
    found, (report,) = read_target_values(
        path,
        {options.name: options.target},
        id_columns=options.id,
        id_prefix=options.id_prefix,
        sessions=options.sessions,
        outlier_sd=options.outlier_sd,
    )
    if file_digest(path) != options.digest:
        raise InputError(f"{path}: changed since the build began; start it again")
    values = found.loc[list(cohort.subjects), [options.name]].to_numpy()
    check_targets(folds, values, kinds=[report.kind], names=[options.name])
    saved = save_target(job.path, options.name, report.kind, values[:, 0])
    Path(job.filename("report.json")).write_text(json.dumps(asdict(report), indent=1))
    print(f"{report.n_values} values, {report.n_missing} missing, {report.n_outliers} outliers made missing")
    outputs.record(job.path, saved, ["report.json"], method=job.method, name=job.params.caption)
