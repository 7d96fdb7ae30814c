"""Summarise every map of every subject within the regions of one parcellation."""

from pathlib import Path

from cortax.data.maps import open_maps
from cortax.data.regions import save_regions
from cortax.errors import AtlasError
from cortax.parcellation.apply import column_names, parcellate
from cortax.parcellation.atlas import save_atlas
from cortax.parcellation.spec_files import spec_digests
from cortax.parcellation.specs import atlas_from_spec
from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Summarise every map of every subject within the regions of one parcellation"
depend_extra = manifest(__name__)
options = {
    "name": "",
    "atlas": {},
    "digests": {},  # of the files that the atlas is made from
    "statistic": "mean",
}
jobs = ("load",)

ROOT = Path(__file__).resolve().parents[1]


def synthesis(job):
    outputs.check(jobs.load.path)
    maps = open_maps(jobs.load.path)
    atlas = atlas_from_spec(options.atlas, name=options.name, space=maps.space, root=ROOT)
    if spec_digests(options.atlas, ROOT) != options.digests:
        raise AtlasError(f"parcellation {options.name!r}: a file of {sorted(options.digests)} changed; build again")
    values = parcellate(maps.values, atlas, statistic=options.statistic, space=maps.space)
    save_regions(job.path, values, maps.subjects, column_names(maps.maps, atlas.regions))
    save_atlas(job.path, atlas)
    outputs.record(
        job.path,
        ["regions.npy", "regions.json", "atlas.npz", "atlas.json"],
        method=job.method,
        name=job.params.caption,
    )
