"""Diffusion models against DIPY, voxel by voxel: time, agreement, and what is recovered of what was simulated.

Real voxels are those of DIPY's two small volumes; simulated ones have known fractions of water and crossing angles.
Both solvers run in this process, on one thread, so ratios are of CPU seconds of one run. `--hcp`: times a SIMULATED
volume of 288 measurements and 435,686 voxels, or as many as it is told, in two processes. `--voxels`: how many
simulated voxels DIPY fits; cortax fits ten times as many. `memory`: what processes of each step hold at most, beyond
what they held before it and files that are mapped, for SIMULATED volumes of several sizes. `chunks`: a SIMULATED
volume of 32,768 voxels by size of units, from 2 to 32,768, and number of workers.
"""

import argparse
import ctypes
import multiprocessing
import tempfile
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import _one_thread  # noqa: F401
import dipy
import nibabel as nib
import numpy as np

from cortax.provenance.files import file_digest
from cortax.store import save
from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.hire import hire_workers
from cortax.workflow.work.pool import run_units
from cortax.workflow.work.settings import Settings
from cortax.workflow.work.units import check_failures
from cortax.workloads.diffusion.fitting import FitTask
from cortax.workloads.diffusion.mapping import save_maps
from cortax.workloads.diffusion.models.deconvolution import dipy_deconvolution
from cortax.workloads.diffusion.models.gradients import Gradients
from cortax.workloads.diffusion.models.making import make_model
from cortax.workloads.diffusion.models.maps import N_PEAKS, compute_map, eigenvalues
from cortax.workloads.diffusion.models.response import Response, auto_response
from cortax.workloads.diffusion.store import fit_files
from cortax.workloads.diffusion.volumes import save_volume

FILES = Path(dipy.__file__).parent / "data" / "files"
FIBRE = (1.7e-3, 0.3e-3, 0.3e-3)
GIVEN = Response(FIBRE, 1000.0)
N_HCP = 435_686


def print_table(names, rows):
    """Print a Markdown table."""
    print("| " + " | ".join(names) + " |")
    print("|" + " --- |" * 2 + " ---: |" * (len(names) - 2))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def cpu(function, repeats=1):
    """What a function returns, and the fewest CPU seconds that it takes."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        found = function()
        seconds.append(time.process_time() - start)
    return found, min(seconds)


def directions(n):
    """Directions spread over a sphere (a Fibonacci lattice)."""
    z = 1 - (2 * np.arange(n) + 1) / n
    around = np.pi * (1 + 5**0.5) * np.arange(n)
    return np.column_stack([np.sqrt(1 - z * z) * np.cos(around), np.sqrt(1 - z * z) * np.sin(around), z])


def measured(n_b0, **shells):
    """Gradients: `b1000=32` is 32 directions at 1000 s/mm2."""
    bvals = np.concatenate([np.zeros(n_b0), *(np.full(n, float(name[1:])) for name, n in shells.items())])
    return Gradients(bvals, np.vstack([np.zeros((n_b0, 3)), *(directions(n) for n in shells.values())]))


TWO_SHELLS = measured(6, b500=32, b1500=64)
HARDI = measured(6, b3000=90)
HCP = measured(18, b1000=90, b2000=90, b3000=90)


def real(name):
    """Signals and gradients of one of DIPY's volumes."""
    bvals, bvecs = np.loadtxt(FILES / f"{name}.bval"), np.loadtxt(FILES / f"{name}.bvec")
    bvecs = bvecs.T if len(bvecs) == 3 else bvecs
    norms = np.linalg.norm(bvecs, axis=1, keepdims=True)
    volume = np.asarray(nib.load(next(FILES.glob(f"{name}.nii*"))).dataobj, dtype=np.float64)
    unit = np.divide(bvecs, norms, out=np.zeros_like(bvecs), where=norms > 0)
    return volume.reshape(-1, len(bvals)), Gradients(bvals, unit)


def bundles(gradients, ways):
    """Signals of a fibre along each unit vector: (n, g)."""
    cosines = ways @ gradients.bvecs.T
    return np.exp(-gradients.bvals * (FIBRE[1] + (FIBRE[0] - FIBRE[1]) * cosines**2))


def unit_vectors(random, n):
    ways = random.normal(size=(n, 3))
    return ways / np.linalg.norm(ways, axis=1, keepdims=True)


def noisy(random, signals, ratio):
    """Rician noise."""
    real_part, imaginary = random.normal(size=(2, *signals.shape)) / ratio
    return 1000 * np.hypot(signals + real_part, imaginary)


def watery(gradients, n, *, ratio=30, seed=0):
    """Signals of a fibre and water, and the fraction of water."""
    random = np.random.default_rng(seed)
    f = random.uniform(0, 0.9, n)
    tissue = bundles(gradients, unit_vectors(random, n))
    signals = (1 - f[:, None]) * tissue + f[:, None] * np.exp(-gradients.bvals * 3e-3)
    return noisy(random, signals, ratio), f


def crossing(gradients, n, degrees, *, ratio=30, seed=0):
    """Signals of two fibres of equal weight."""
    random = np.random.default_rng(seed)
    one = unit_vectors(random, n)
    other = np.cross(one, unit_vectors(random, n))
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    angle = np.deg2rad(degrees)
    two = np.cos(angle) * one + np.sin(angle) * other
    return noisy(random, (bundles(gradients, one) + bundles(gradients, two)) / 2, ratio)


def peer_tensors(gradients, signals):
    from dipy.reconst.dti import TensorModel

    return TensorModel(gradients.table()).fit(signals).evals


def peer_water(gradients, signals):
    """Sums of squares at the ends of DIPY's descents, and the fractions of water; the former are not in its result."""
    from dipy.reconst import fwdti

    ends, solve = [], fwdti.opt.leastsq

    def keep(function, start, args=(), **more):
        found = solve(function, start, args=args, **more)
        ends[-1] = (found[0], args, function)
        return found

    model, f = fwdti.FreeWaterTensorModel(gradients.table()), []
    fwdti.opt.leastsq = keep
    start = time.process_time()
    for signal in signals:
        ends.append(None)
        f.append(float(model.fit(signal).f))
    seconds = time.process_time() - start
    fwdti.opt.leastsq = solve
    sse = [np.nan if end is None else float(np.sum(end[2](end[0], *end[1]) ** 2)) for end in ends]
    return np.array(sse), np.array(f), seconds


def speed_row(what, model, n, own, peer, agreement):
    return (model, what, f"{n}", f"{own:.1f}", f"{peer:.0f}", f"{peer / own:.0f}", agreement)


def race_tensors(what, signals, gradients, n):
    model = make_model("dti", {}, gradients)
    model.fit(signals[:2])
    evals, own = cpu(lambda: eigenvalues("dti", model.fit(signals).parameters, gradients), 5)
    peer_tensors(gradients, signals[:2])
    theirs, peer = cpu(lambda: peer_tensors(gradients, signals[:n]))
    difference = np.nanmax(np.abs(evals[:n] - theirs).max(axis=1) / theirs.max(axis=1))
    times = own / len(signals) * 1e6, peer / n * 1e6
    return speed_row(what, "dti", n, *times, f"eigenvalues differ by at most {difference:.0e} of the largest")


def race_water(what, signals, gradients, n):
    model = make_model("fwdti", {}, gradients)
    model.fit(signals[:2])
    fit, own = cpu(lambda: model.fit(signals), 5)
    peer_water(gradients, signals[:2])
    sse, f, peer = peer_water(gradients, signals[:n])
    both = np.isfinite(sse) & np.isfinite(fit.sse[:n])
    ratio = fit.sse[:n][both] / sse[both]
    lower, higher = (ratio < 1 - 1e-6).sum(), (ratio > 1 + 1e-6).sum()
    apart = np.abs(fit.parameters[:n, 7] - f)[both]
    agreement = (
        f"SSE lower / equal / higher in {lower} / {both.sum() - lower - higher} / {higher}; "
        f"\\|f - DIPY's\\|: median {np.median(apart):.0e}, most {apart.max():.0e}"
    )
    return speed_row(what, "fwdti", n, own / len(signals) * 1e6, peer / n * 1e6, agreement)


def race_deconvolution(what, signals, gradients, n, response):
    model = make_model("csd", {}, gradients, response=response)
    model.fit(signals[:2])
    fit, own = cpu(lambda: model.fit(signals), 5)
    peer_model, _ = dipy_deconvolution(gradients, response)
    theirs, peer = cpu(lambda: np.array([peer_model.fit(signal).shm_coeff for signal in signals[:n]]))
    apart = np.abs(fit.parameters[:n] - theirs).max(axis=1) / np.maximum(np.abs(theirs).max(axis=1), 1e-300)
    agreement = f"coefficients differ by at most {np.nanmax(apart):.0e} of the largest"
    return speed_row(what, "csd", n, own / len(signals) * 1e6, peer / n * 1e6, agreement)


def speed(n):
    one_shell, many = real("small_64D"), real("small_101D")
    water, crossed = watery(TWO_SHELLS, 10 * n)[0], crossing(HARDI, 10 * n, 70)
    rows = [
        race_tensors("real, 64 directions", *one_shell, 1000),
        race_tensors("simulated, 96 directions", water, TWO_SHELLS, n),
        race_water("real, 101 directions", *many, 600),
        race_water("simulated, 96 directions", water, TWO_SHELLS, n),
        race_deconvolution("real, 64 directions", *one_shell, 1000, auto_response(*one_shell)),
        race_deconvolution("simulated, 90 directions", crossed, HARDI, n, GIVEN),
    ]
    print_table(("model", "voxels", "by DIPY", "us a voxel", "DIPY, us", "ratio", "agreement"), rows)


def angles(fit, gradients):
    """The angle between the two highest peaks, NaN if there is one only."""
    peaks = compute_map("peaks", "csd", fit, gradients=gradients).reshape(-1, N_PEAKS, 3)
    return np.rad2deg(np.arccos(np.minimum(np.abs((peaks[:, 0] * peaks[:, 1]).sum(axis=1)), 1)))


def truth(n):
    rows = []
    for ratio in (30, 60):
        signals, f = watery(TWO_SHELLS, n, ratio=ratio)
        for solver in ("cortax", "dipy"):
            found = make_model("fwdti", {}, TWO_SHELLS, solver=solver).fit(signals).parameters[:, 7]
            error = np.abs(found - f)
            rows.append(
                (f"free water, SNR {ratio}", solver, f"{np.mean(error):.4f}", f"{np.quantile(error, 0.9):.4f}", "")
            )
    for degrees in (50, 70, 90):
        signals = crossing(HARDI, n, degrees)
        for solver in ("cortax", "dipy"):
            fit = make_model("csd", {}, HARDI, response=GIVEN, solver=solver).fit(signals)
            error = np.abs(angles(fit, HARDI) - degrees)
            two = np.isfinite(error)
            quantile = f"{np.quantile(error[two], 0.9):.2f}" if two.any() else ""
            mean = f"{error[two].mean():.2f}" if two.any() else ""
            rows.append((f"crossing at {degrees} degrees", solver, mean, quantile, f"{two.mean():.1%}"))
    print_table(("truth", "solver", "mean error", "90 % below", "two peaks found"), rows)


def fit_part(kind, seed, n):
    """Fit n simulated voxels of an HCP-like measurement: CPU seconds of the fit alone."""
    options = {"shell": 3000} if kind == "csd" else {}
    model = make_model(kind, options, HCP, response=GIVEN)
    signals = watery(HCP, n, seed=seed)[0]
    return cpu(lambda: model.fit(signals))[1]


def hcp_rows(n, part=10_000):
    sizes = [min(part, n - start) for start in range(0, n, part)]
    with ProcessPoolExecutor(2) as pool:
        for kind in ("dti", "fwdti", "csd"):
            list(pool.map(fit_part, [kind] * 2, [0, 1], [2, 2]))
            start = time.perf_counter()
            seconds = sum(pool.map(fit_part, [kind] * len(sizes), range(len(sizes)), sizes))
            wall = time.perf_counter() - start
            yield kind, f"{n:,}", f"{seconds / n * 1e6:.1f}", f"{seconds:.1f}", f"{wall:.1f}"


class HighWater(threading.Thread):
    """The most anonymous memory of this process beyond what it has now, in MB; mapped files do not count."""

    def __init__(self):
        super().__init__(daemon=True)
        ctypes.CDLL(None).malloc_trim(0)  # what was freed is not to pass for something new
        self.first = self.most = self.now()
        self.ended = threading.Event()
        self.start()

    @staticmethod
    def now():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000

    def run(self):
        while not self.ended.wait(0.001):
            self.most = max(self.most, self.now())

    def end(self):
        self.most = max(self.most, self.now())
        self.ended.set()
        self.join()
        return self.most - self.first


def write_volume(root, n_slices):
    """A SIMULATED volume of 64 x 64 x n_slices voxels of 96 + 6 measurements, int16; returns options of its job."""
    signals = watery(TWO_SHELLS, 64 * 64)[0].round().astype(np.int16).reshape(64, 64, 1, -1)
    nib.save(nib.Nifti1Image(np.repeat(signals, n_slices, axis=2), np.eye(4)), root / "dwi.nii.gz")
    np.savetxt(root / "dwi.bval", TWO_SHELLS.bvals[None])
    np.savetxt(root / "dwi.bvec", TWO_SHELLS.bvecs.T)
    files = {"dwi": "dwi.nii.gz", "bval": "dwi.bval", "bvec": "dwi.bvec"}
    digests = {kind: file_digest(root / file) for kind, file in files.items()}
    return {"files": files, "digests": digests, "b0_threshold": 50.0, "voxels": None}


def memory_row(n_slices):
    """What the steps of one volume hold, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        options = write_volume(root, n_slices)
        water = HighWater()
        save_volume(root, root, options)
        reading = water.end()
        task = FitTask(str(root), "dti", "cortax", {"method": "wls"}, None, 1024)
        units = task.units()
        task.model.fit(task.volume.read(0, 1))
        # What is returned is kept in the checkpoint, by another process.
        water = HighWater()
        for unit in range(len(units)):
            task.do(unit)
        fitting = water.end()
        values = {unit.keys[0]: task.do(number)[0] for number, unit in enumerate(units)}
        water = HighWater()
        fit = task.read(values)
        joining = water.end()
        save(root, fit_files(fit))
        del fit, values
        water = HighWater()
        about = {"maps": ["fa", "tensor"], "stem": "sub-1_model-x", "sources": [], "solver": "cortax", "options": {}}
        save_maps(root, [root], [root], {**about, "kind": "dti"})
        mapping = water.end()
        size = 2e-6 * 64 * 64 * n_slices * len(TWO_SHELLS.bvals)
    return (f"{64 * 64 * n_slices:,}", "dti", *(f"{each:.0f}" for each in (size, reading, fitting, joining, mapping)))


def memory(sizes=(8, 32, 128)):
    names = ("voxels", "model", "signals, MB", "volume, MB", "a worker, MB", "joining, MB", "maps (6 components), MB")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        print_table(names, pool.map(memory_row, sizes, chunksize=1))


def chunk_seconds(task, workers):
    """Of all units of a task: wall seconds, as a job does them; seconds of work; most that a unit held; bytes kept."""
    start, settings = time.perf_counter(), Settings(workers=workers)
    with (
        tempfile.TemporaryDirectory() as folder,
        Checkpoint(Path(folder) / "units.sqlite") as kept,
        hire_workers(settings, Path(folder), task) as hire,
    ):
        report = run_units(task.units(), kept, hire, n_workers=workers, memory=settings.memory)
        check_failures(report.failed)
        n_bytes = sum(map(len, kept.values().values()))
    return time.perf_counter() - start, report.seconds, report.peak, n_bytes


def chunks(model, workers=(1, 2, 4), sizes=tuple(2**power for power in (1, 3, 5, 7, 9, 10, 11, 13, 15))):
    """One run of each: wall seconds, their speed-up over the best of one worker, and the most that a unit held."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_volume(root, root, write_volume(root, 8))
        tasks = {size: FitTask(str(root), model, "cortax", {}, None, size) for size in sizes}
        for task in tasks.values():
            task.model.fit(task.volume.read(0, 1))
        found = {size: [chunk_seconds(task, n) for n in workers] for size, task in tasks.items()}
    best = min(each[0][0] for each in found.values())
    rows = []
    for size, each in found.items():
        times = [f"{seconds:.2f} ({best / seconds:.2f})" for seconds, *_ in each]
        _, work, peak, n_bytes = each[0]
        rows.append((f"{size:,}", model, *times, f"{work:.2f}", f"{peak / 1e6:.0f}", f"{n_bytes / 1e6:.1f}"))
    columns = [f"{n} workers, s (speed-up)" for n in workers]
    print_table(("voxels a unit", "model", *columns, "work, s", "a unit held, MB", "kept, MB"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=("all", "speed", "truth", "memory", "chunks"))
    parser.add_argument("--voxels", type=int, default=1000)
    parser.add_argument("--hcp", nargs="?", type=int, const=N_HCP, help="time so many voxels, 435,686 if not said")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if chosen.hcp:
        names = ("model", "voxels", "us a voxel", "CPU s of fits", "wall s in two processes, simulation included")
        print_table(names, hcp_rows(chosen.hcp))
    else:
        if chosen.part in ("all", "speed"):
            speed(chosen.voxels)
        if chosen.part in ("all", "truth"):
            truth(chosen.voxels)
        if chosen.part in ("all", "memory"):
            memory()
        if chosen.part in ("all", "chunks"):
            for model in ("dti", "fwdti"):
                chunks(model)
