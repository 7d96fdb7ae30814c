"""Read every subject's matrix of connectivity: each pair of regions is a column."""

from pathlib import Path

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read every subject's matrix of connectivity: each pair of regions is a column"
depend_extra = manifest(__name__)
options = {
    "name": "",
    "root": "",
    "matrices": "",
    "subjects": None,
    "id_prefix": "",
    "labels": None,
    "labels_digest": None,
    "transform": "none",
    "max_missing": 0.5,
    "damaged": "drop",
    "inventory": "",  # digest of the matrices' names and bytes
    "leave_out": [],  # subjects in no table of phenotypes
}


def synthesis(job):
    from accelerator import status

    from cortax.brain.data.connectivity import EdgeRules, read_connectivity
    from cortax.brain.data.dropped import write_dropped
    from cortax.brain.data.map_files import find_images
    from cortax.brain.data.name_lists import read_names
    from cortax.errors import InputError
    from cortax.learning.regions import save_regions
    from cortax.provenance.files import file_digest

    others = set(options.leave_out)
    images = {**options, "maps": {options.name: options.matrices}}
    files = find_images(images, find_root(), leave_out=others.__contains__)
    rules = EdgeRules(options.transform, options.max_missing, options.damaged)
    labels = None
    if options.labels is not None:
        labels = read_names(find_root() / options.labels)
        if file_digest(find_root() / options.labels) != options.labels_digest:
            raise InputError(f"{options.labels}: changed since the build began; start it again")
    with status("reading matrices") as update:
        found = read_connectivity(files, rules, labels=labels, progress=lambda done, n: update(f"subject {done}/{n}"))
    if found.inventory[1] != options.inventory:
        raise InputError(f"{files.root}: a file changed since the build listed the matrices: build again")
    table = found.table
    print(f"{len(table.subjects)} subjects, {len(table.columns)} edges, {len(found.dropped)} subjects left out")
    save_regions(job.path, table.values, table.subjects, table.columns)
    write_dropped(Path(job.filename("dropped.csv")), found.dropped)
    Path(job.filename("inventory.txt")).write_text(found.inventory[0], encoding="utf-8")
    others = ["dropped.csv", "inventory.txt"]
    outputs.record(job.path, ["regions.npy", "regions.json"], others, method=job.method, name=job.params.caption)
