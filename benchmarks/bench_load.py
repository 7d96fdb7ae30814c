"""Seconds and peak memory of loading cohorts of two sizes, in one process each.

python benchmarks/bench_load.py [n_small n_large]
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from cortax.brain.data.maps import find_maps, inventory, load_maps
from cortax.brain.data.spaces import SPACES

SPACE = SPACES["fsaverage5"]
PATTERNS = {name: f"{{participant_id}}_{{hemi}}_{name}" for name in ("thickness.npy", "curv.func.gii", "area.mgh")}


def simulate(folder: Path, n_subjects: int) -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=SPACE.n_left).astype(np.float32)
    np.save(folder / "one.npy", half)
    array = nib.gifti.GiftiDataArray(half, intent="NIFTI_INTENT_SHAPE")
    nib.save(nib.GiftiImage(darrays=[array]), folder / "one.func.gii")
    nib.save(nib.MGHImage(half[:, None, None], np.eye(4)), folder / "one.mgh")
    for i in range(n_subjects):
        for hemi in "LR":
            for name in PATTERNS:
                (folder / f"{i:05d}_{hemi}_{name}").hardlink_to(folder / f"one.{name.partition('.')[2]}")


def child(folder: Path) -> None:
    files = find_maps(folder, PATTERNS)
    start = time.perf_counter()
    _, digest = inventory(files)
    listed = time.perf_counter()
    (folder / "out").mkdir()
    load_maps(files, folder / "out", space=SPACE, outlier_sd=10, inventory_digest=digest)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{listed - start:.2f} {done - listed:.2f} {peak:.0f}")


def main(sizes: list[int]) -> None:
    print(f"{'subjects':>8} {'array MB':>9} {'inventory s':>12} {'load s':>8} {'ms/subject':>11} {'peak MB':>8}")
    peaks = []
    for n_subjects in sizes:
        with tempfile.TemporaryDirectory() as folder:
            simulate(Path(folder), n_subjects)
            command = [sys.executable, __file__, "--child", folder]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        inventory_s, load_s, peak = map(float, out.split())
        peaks.append(peak)
        size = n_subjects * len(PATTERNS) * SPACE.n_locations * 4 / 1e6
        each = 1000 * load_s / n_subjects
        print(f"{n_subjects:8d} {size:9.0f} {inventory_s:12.2f} {load_s:8.2f} {each:11.2f} {peak:8.0f}")
    print(f"peak memory, largest / smallest cohort: {peaks[-1] / peaks[0]:.3f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
    else:
        main([int(n) for n in sys.argv[1:]] or [100, 1000])
