"""Read regions that another program has already summarised."""

from pathlib import Path

from cortax.data.regions import save_regions
from cortax.data.tables import read_region_files
from cortax.errors import InputError
from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.provenance.files import file_digest

description = "Read regions that another program has already summarised"
depend_extra = manifest(__name__)
options = {
    "files": [],
    "digests": [],
    "id": [],
    "id_prefix": "",
    "sessions": None,
    "columns": None,
    "drop": None,
}

ROOT = Path(__file__).resolve().parents[1]


def synthesis(job):
    paths = [ROOT / file for file in options.files]
    regions = read_region_files(
        paths,
        sessions=options.sessions,
        id_columns=options.id,
        columns=options.columns,
        drop=options.drop or (),
        id_prefix=options.id_prefix,
    )
    if [file_digest(path) for path in paths] != options.digests:
        raise InputError(f"{options.files}: changed since the build began; start it again")
    print(f"{len(regions.subjects)} subjects, {len(regions.columns)} columns")
    save_regions(job.path, regions.values, regions.subjects, regions.columns)
    outputs.record(job.path, ["regions.npy", "regions.json"], method=job.method, name=job.params.caption)
