"""Read confounds and groups from the phenotype table."""

import json
from pathlib import Path

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read confounds and groups from the phenotype table"
depend_extra = manifest(__name__)
options = {
    "file": None,  # or several, which are joined
    "digests": {},  # of it, and of what else says who is studied
    "join": [],
    "id": [],
    "id_prefix": "",
    "id_rule": None,
    "where": "",
    "include": None,
    "exclude": None,
    "sessions": [],
    "missing": [],
    "group": None,
    "site": None,
    "stratify": None,
    "confounds": [],
    "categorical": [],
    "outlier_sd": None,
    "endings": [],
    "harmonise": None,  # site, preserve, categorical, unseen
}


def synthesis(job):
    from cortax.brain.data.dropped import write_dropped
    from cortax.brain.data.people_files import people_digests
    from cortax.brain.data.phenotype_table import people_of, read_phenotypes
    from cortax.data.files import reading_once
    from cortax.errors import InputError

    with reading_once() as digest_of:
        found = read_phenotypes(
            people_of(options, find_root()),
            group=options.group,
            site=options.site,
            stratify=options.stratify,
            confounds=options.confounds,
            categorical=options.categorical,
            outlier_sd=options.outlier_sd,
            endings=options.endings,
            harmonise=options.harmonise,
        )
        digests = people_digests(options, find_root(), digest_of)
    if digests != options.digests:
        raise InputError(f"{options.file}: changed since the build began, or a file with it; start it again")
    found.table.to_parquet(job.filename("phenotype.parquet"))
    about = {"confounds": found.confounds} | ({"harmonise": found.harmonise} if found.harmonise else {})
    Path(job.filename("phenotype.json")).write_text(json.dumps(about, indent=1))
    write_dropped(Path(job.filename("dropped.csv")), found.dropped)
    groups = {"kept_together": found.kept_together, "n_divided": found.n_divided}
    groups |= {"notes": found.notes, "warnings": found.warnings}
    Path(job.filename("groups.json")).write_text(json.dumps(groups, indent=1))
    print(f"{len(found.table)} subjects, {len(found.dropped)} left out; {found.kept_together}")
    print(*found.notes, *found.warnings, sep="\n")
    outputs.record(
        job.path,
        ["phenotype.parquet", "phenotype.json"],
        ["dropped.csv", "groups.json"],
        method=job.method,
        name=job.params.caption,
    )
