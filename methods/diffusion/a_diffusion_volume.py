"""Read a block of a diffusion-weighted volume with its gradients: decompressed once, voxels of its mask row by row."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read a block of a diffusion-weighted volume with its gradients"
depend_extra = manifest(__name__)
options = {
    "files": {},  # dwi, bval, bvec and perhaps mask -> path
    "digests": {},  # the same -> that of its file
    "b0_threshold": 0.0,
    "voxels": None,  # as text; those of the mask, or all
}


def synthesis(job):
    from pathlib import Path

    from cortax.workloads.diffusion.volumes import save_volume

    volume, results = save_volume(Path(job.path), find_root(), options)
    print(f"{len(volume)} voxels x {len(volume.gradients.bvals)} gradients", *volume.notes, sep="; ")
    outputs.record(job.path, results, method=job.method, name=job.params.caption)
