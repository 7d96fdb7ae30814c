"""Read every subject's images into one array of maps."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read every subject's images into one array of maps"
depend_extra = manifest(__name__)
options = {
    "root": "",
    "space": "",
    "maps": {},
    "subjects": None,
    "id_prefix": "",
    "sessions": None,
    "runs": None,
    "max_missing": 0.0,
    "outlier_sd": None,
    "damaged": "drop",
    "inventory": "",  # digest of the images' names and bytes
    "leave_out": [],  # subjects in no table of phenotypes
}


def synthesis(job):
    from accelerator import status

    from cortax.brain.data.map_files import find_images
    from cortax.brain.data.maps import load_maps, space_of

    others = set(options.leave_out)
    files = find_images(options, find_root(), leave_out=others.__contains__)
    with status("reading images") as update:
        loaded = load_maps(
            files,
            job.path,
            space=space_of(files, options.space),
            max_missing=options.max_missing,
            outlier_sd=options.outlier_sd,
            damaged=options.damaged,
            inventory_digest=options.inventory,
            progress=lambda done, n: update(f"subject {done}/{n}"),
        )
    print(f"{len(loaded.subjects)} subjects kept, {len(loaded.dropped)} dropped", *loaded.notes, sep="\n")
    others = ["dropped.csv", "inventory.txt", *(["lost_scans.csv"] if loaded.lost else [])]
    outputs.record(job.path, ["maps.npy", "maps.json"], others, method=job.method, name=job.params.caption)
