"""Read regions that another program has already summarised."""

import json
from pathlib import Path

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read regions that another program has already summarised"
depend_extra = manifest(__name__)
options = {
    "files": [],
    "digests": [],
    "id": [],
    "id_prefix": "",
    "subjects": None,
    "id_rule": None,
    "where": "",
    "sessions": None,
    "columns": None,
    "drop": None,
    "missing": [],
    "max_missing": 1.0,
}


def synthesis(job):
    from cortax.brain.data.dropped import write_dropped
    from cortax.brain.data.tables import leave_out_incomplete, region_rows_of
    from cortax.data.files import reading_once
    from cortax.errors import InputError
    from cortax.learning.regions import save_regions

    paths = [find_root() / file for file in options.files]
    inputs = [*paths, *([find_root() / options.subjects.partition("#")[0]] if options.subjects else [])]
    with reading_once() as digest_of:
        found = region_rows_of(options, find_root())
        digests = [digest_of(path) for path in inputs]
    if digests != options.digests:
        raise InputError(f"{options.files}: changed since the build began; start it again")
    regions, dropped = leave_out_incomplete(found.table, options.max_missing)
    print(f"{len(regions.subjects)} subjects, {len(regions.columns)} columns, {len(dropped)} subjects left out")
    save_regions(job.path, regions.values, regions.subjects, regions.columns)
    print(*found.notes, sep="\n")
    write_dropped(Path(job.filename("dropped.csv")), [*found.dropped, *dropped])
    Path(job.filename("rows.json")).write_text(json.dumps({"notes": found.notes}, indent=1))
    others = ["dropped.csv", "rows.json"]
    outputs.record(job.path, ["regions.npy", "regions.json"], others, method=job.method, name=job.params.caption)
