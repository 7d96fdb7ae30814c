"""Read confounds and groups from the phenotype table."""

import json
from pathlib import Path

from cortax.data.dropped import write_dropped
from cortax.data.phenotype_table import read_phenotypes
from cortax.errors import InputError
from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.provenance.files import file_digest

description = "Read confounds and groups from the phenotype table"
depend_extra = manifest(__name__)
options = {
    "file": "",
    "digest": "",
    "id": [],
    "id_prefix": "",
    "sessions": [],
    "group": None,
    "site": None,
    "stratify": None,
    "confounds": [],
    "categorical": [],
}

ROOT = Path(__file__).resolve().parents[1]


def synthesis(job):
    path = ROOT / options.file
    found = read_phenotypes(
        path,
        id_columns=options.id,
        id_prefix=options.id_prefix,
        sessions=options.sessions,
        group=options.group,
        site=options.site,
        stratify=options.stratify,
        confounds=options.confounds,
        categorical=options.categorical,
    )
    if file_digest(path) != options.digest:
        raise InputError(f"{path}: changed since the build began; start it again")
    found.table.to_parquet(job.filename("phenotype.parquet"))
    about = {"confounds": found.confounds}
    Path(job.filename("phenotype.json")).write_text(json.dumps(about, indent=1))
    write_dropped(Path(job.filename("dropped.csv")), found.dropped)
    print(f"{len(found.table)} subjects, {len(found.dropped)} without a confound")
    outputs.record(
        job.path,
        ["phenotype.parquet", "phenotype.json"],
        ["dropped.csv"],
        method=job.method,
        name=job.params.caption,
    )
