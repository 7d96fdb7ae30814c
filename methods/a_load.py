"""Read every subject's images into one array of maps."""

from pathlib import Path

from accelerator import status

from cortax.data.maps import find_maps, load_maps, space_of
from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Read every subject's images into one array of maps"
depend_extra = manifest(__name__)
options = {
    "root": "",
    "space": "",
    "maps": {},
    "max_missing": 0.0,
    "outlier_sd": None,
    "damaged": "drop",
    "inventory": "",  # digest of the images' names and bytes
}

ROOT = Path(__file__).resolve().parents[1]


def synthesis(job):
    files = find_maps(ROOT / options.root, options.maps)
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
    print(f"{len(loaded.subjects)} subjects kept, {len(loaded.dropped)} dropped")
    others = ["dropped.csv", "inventory.txt"]
    outputs.record(job.path, ["maps.npy", "maps.json"], others, method=job.method, name=job.params.caption)
