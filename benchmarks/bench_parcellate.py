"""Parcellating a cohort: cortax against nilearn's maskers, in one run on one core.

    python benchmarks/bench_parcellate.py [--quick]

Surface: subjects x 1 map on fsaverage5, simulated noise around nothing (speed does not depend on the values), with
random, Voronoi, icosahedral and Ward parcellations. nilearn gets all subjects in one SurfaceImage. Volume: a small
grid and random labels. The time of making the atlases, and of fitting nilearn's maskers, is shown apart.
"""

from __future__ import annotations

import argparse
import time

import nibabel as nib
import numpy as np
from nilearn.maskers import NiftiLabelsMasker, SurfaceLabelsMasker
from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage
from threadpoolctl import threadpool_limits

from cortax.brain.data.meshes import fsaverage_mesh
from cortax.brain.data.spaces import SPACES, volume_space
from cortax.brain.parcellation.apply import parcellate
from cortax.brain.parcellation.atlas import Atlas, hard_weights
from cortax.brain.parcellation.specs import atlas_from_spec

SPACE = SPACES["fsaverage5"]
SIZES = (20, 50, 100, 200, 300, 400, 600, 1000)


def surface_specs(quick):
    specs = [{"kind": "icosahedral", "level": level} for level in range(4)]
    specs += [{"kind": kind, "n_regions": n, "seed": n} for kind in ("random-growth", "voronoi") for n in SIZES]
    return specs[2::4] if quick else specs


def timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def line(name, ours, theirs, fit, difference, n):
    per = 1e6 / n
    print(
        f"{name:<24}{ours:9.3f} s {ours * per:8.1f} us {theirs:9.3f} s {theirs * per:8.1f} us"
        f"{fit:9.3f} s {theirs / ours:7.1f} x   {difference:.1e}"
    )


def surface(n_subjects, quick):
    n = SPACE.n_left
    values = np.random.default_rng(0).normal(2.5, 0.5, (n_subjects, 1, 2 * n)).astype(np.float32)
    meshes = {side: fsaverage_mesh(hemi=hemi) for side, hemi in (("left", "L"), ("right", "R"))}
    mesh = PolyMesh(**{side: InMemoryMesh(one.coordinates, one.faces) for side, one in meshes.items()})
    columns = values[:, 0].T
    image = SurfaceImage(mesh, {"left": columns[:n].copy(), "right": columns[n:].copy()})
    totals, worst = np.zeros(4), 0.0
    for spec in surface_specs(quick):
        made, atlas = timed(lambda spec=spec: atlas_from_spec(spec, name="bench", space=SPACE, root="."))
        labels = (np.arange(1, atlas.n_regions + 1) @ atlas.weights).astype(np.int32)
        labels_image = SurfaceImage(mesh, {"left": labels[:n], "right": labels[n:]})
        fit, masker = timed(SurfaceLabelsMasker(labels_image, standardize=None).fit)
        theirs, expected = timed(lambda masker=masker: masker.transform(image))
        ours, found = timed(lambda atlas=atlas: parcellate(values, atlas))
        totals += (ours, theirs, fit, made)
        difference = np.abs(found - expected).max()
        worst = max(worst, difference)
        line(f"{spec['kind']} {atlas.n_regions}", ours, theirs, fit, difference, n_subjects)
    n_atlases = len(surface_specs(quick))
    line(f"ALL {n_atlases} surface", *totals[:3], worst, n_subjects * n_atlases)
    print(f"making the {n_atlases} atlases took {totals[3]:.2f} s")


def volume(n_subjects):
    shape, affine = (40, 48, 40), np.diag([4.0, 4.0, 4.0, 1.0])
    rng = np.random.default_rng(1)
    values = rng.normal(2.5, 0.5, (n_subjects, 1, *shape)).astype(np.float32)
    labels = rng.integers(0, 101, shape).astype(np.int32)
    image = nib.Nifti1Image(np.moveaxis(values[:, 0], 0, -1), affine)
    fit, masker = timed(NiftiLabelsMasker(nib.Nifti1Image(labels, affine), standardize=None).fit)
    theirs, expected = timed(lambda: masker.transform(image))
    regions = tuple(str(i) for i in range(1, 101))
    atlas = Atlas("bench", volume_space(shape, affine), regions, hard_weights(labels.ravel(), np.arange(1, 101)))
    ours, found = timed(lambda: parcellate(values.reshape(n_subjects, 1, -1), atlas))
    line("volume 100", ours, theirs, fit, np.abs(found - expected).max(), n_subjects)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 subjects x 5 parcellations")
    quick = parser.parse_args().quick
    n_subjects = 100 if quick else 400
    print(f"{n_subjects} subjects x 1 map; per-subject times in us")
    print(f"{'parcellation':<24}{'cortax':>11}{'':>11} {'nilearn':>11}{'':>11}{'its fit':>11}{'ratio':>9}   max diff")
    with threadpool_limits(1):
        surface(n_subjects, quick)
        volume(n_subjects // 4)


if __name__ == "__main__":
    main()
