"""Summarise every map of every subject within the regions of one parcellation."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Summarise every map of every subject within the regions of one parcellation"
depend_extra = manifest(__name__)
options = {
    "name": "",
    "atlas": {},
    "digests": {},  # of the files that the atlas is made from
    "statistic": "mean",
}
jobs = ("load",)


def synthesis(job):
    from cortax.brain.data.maps import open_maps
    from cortax.brain.parcellation.apply import column_names, parcellate
    from cortax.brain.parcellation.atlas import save_atlas
    from cortax.brain.parcellation.spec_files import spec_digests
    from cortax.brain.parcellation.specs import atlas_from_spec
    from cortax.errors import AtlasError
    from cortax.learning.regions import save_regions

    outputs.check_all(jobs)
    maps = open_maps(jobs.load.path)
    atlas = atlas_from_spec(options.atlas, name=options.name, space=maps.space, root=find_root())
    if spec_digests(options.atlas, find_root()) != options.digests:
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
