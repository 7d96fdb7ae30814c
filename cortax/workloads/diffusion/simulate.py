"""A SIMULATED diffusion-weighted volume with known free water and known crossings, written as BIDS has it.

The signal of a voxel is S0 (f exp(-b d) + (1 - f) mean_k exp(-b g'D_k g)), with free water of diffusivity d = 3e-3
mm2/s, fibres whose tensors D_k have diffusivities 1.7e-3 along and 0.3e-3 mm2/s across, and Rician noise. Along x,
voxels have one fibre, then two that cross at 90 to 30 degrees; along y, the fraction f rises from 0 to 0.8; the last
voxels of y are water.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from cortax.learning.arrays import Floats
from cortax.learning.search.spaces import content_seed
from cortax.store import write_whole

__all__ = ["Truth", "VolumeShape", "simulate_signals", "simulate_truth", "simulate_volume"]

WATER = 3e-3
ALONG, ACROSS = 1.7e-3, 0.3e-3
S0 = 4000.0
_Image: Any = nib.Nifti1Image
# A stored value counts so much: as scanners do that store integers.
_SLOPE = 0.25
_SESSION = "sub-01/ses-1/dwi/sub-01_ses-1"


@dataclass(frozen=True)
class VolumeShape:
    """How much is simulated.

    Attributes
    ----------
    shape : tuple of int, of length 3
    n_b0 : int
    shells : mapping of b-value (s/mm2) to int
        Directions of each.
    snr : float
        S0 over the standard deviation of the noise. 0: no noise.
    """

    shape: tuple[int, int, int] = (14, 12, 6)
    n_b0: int = 6
    shells: tuple[tuple[float, int], ...] = ((1000.0, 32), (2000.0, 60))
    snr: float = 40.0


@dataclass(frozen=True, eq=False)
class Truth:
    """What a volume was made of.

    Attributes
    ----------
    water : float64 array of shape (x, y, z)
        Fraction of free water, 0 to 1.
    angle : float64 array of shape (x, y, z)
        Degrees between two fibres; 0 where there is one.
    directions : float64 array of shape (x, y, z, 2, 3)
        Of length 1, along the axes of bvecs; twice the same where there is one fibre.
    """

    water: Floats
    angle: Floats
    directions: Floats


def simulate_volume(folder: Path, shape: VolumeShape, *, seed: int = 0) -> None:
    """Write a volume, its gradients, mask and truth below a folder, unless they are there.

    Parameters
    ----------
    folder : Path
        Made if it is not there. Files are `sub-01/ses-1/dwi/sub-01_ses-1_dwi.nii.gz` (int16 with a slope), `.bval`,
        `.bvec`, `_desc-brain_mask.nii.gz`, and the truth: `_param-f_truth.nii.gz`, `_param-angle_truth.nii.gz`.
    shape : VolumeShape
    seed : int
        Files depend on it and the shape alone.
    """
    last = folder / f"{_SESSION}_dwi.nii.gz"
    if last.exists():
        return
    last.parent.mkdir(parents=True, exist_ok=True)
    bvals, bvecs = gradients(shape)
    truth = simulate_truth(shape, seed=seed)
    signals = simulate_signals(truth, bvals, bvecs, snr=shape.snr, seed=seed)
    for ending, rows in (("bval", bvals[None]), ("bvec", bvecs.T)):
        lines = [" ".join(f"{value:.10g}" for value in row) for row in rows]
        write_whole(folder / f"{_SESSION}_dwi.{ending}", "\n".join([*lines, ""]))
    _write(folder / f"{_SESSION}_desc-brain_mask.nii.gz", _inside(shape.shape).astype(np.uint8))
    _write(folder / f"{_SESSION}_param-f_truth.nii.gz", truth.water.astype(np.float32))
    _write(folder / f"{_SESSION}_param-angle_truth.nii.gz", truth.angle.astype(np.float32))
    # Last: where it is, all are.
    _write(last, np.clip(np.rint(signals / _SLOPE), 0, 32767).astype(np.int16), slope=_SLOPE)


def gradients(shape: VolumeShape) -> tuple[Floats, Floats]:
    """Return b-values, (n_gradients,), and directions, (n_gradients, 3): b0s first, then shells on half spheres."""
    bvals = np.concatenate([np.zeros(shape.n_b0), *(np.full(n, b) for b, n in shape.shells)])
    bvecs = np.concatenate([np.zeros((shape.n_b0, 3)), *(_half_sphere(n) for _, n in shape.shells)])
    return bvals, bvecs


def simulate_truth(shape: VolumeShape, *, seed: int = 0) -> Truth:
    """Return what the voxels are made of; the axes of fibres turn from voxel to voxel."""
    random = np.random.default_rng(content_seed("diffusion truth", seed, *shape.shape))
    nx, ny, _ = shape.shape
    water = np.broadcast_to(np.linspace(0.0, 0.8, max(ny - 1, 1))[None, :, None], (nx, max(ny - 1, 1), shape.shape[2]))
    water = np.concatenate([water, np.ones((nx, ny - water.shape[1], shape.shape[2]))], axis=1)
    n_single = nx // 2
    angles = np.concatenate([np.zeros(n_single), np.linspace(90.0, 30.0, nx - n_single)])
    angle = np.broadcast_to(angles[:, None, None], shape.shape).copy()
    first, second = (_unit(random.normal(size=(*shape.shape, 3))) for _ in range(2))
    across = _unit(second - (second * first).sum(axis=-1, keepdims=True) * first)
    radians = np.deg2rad(angle)[..., None]
    return Truth(water, angle, np.stack([first, np.cos(radians) * first + np.sin(radians) * across], axis=-2))


def simulate_signals(truth: Truth, bvals: Floats, bvecs: Floats, *, snr: float, seed: int = 0) -> Floats:
    """Return signals of shape (x, y, z, n_gradients), with Rician noise unless `snr` is 0."""
    cosines = np.einsum("xyzkd,gd->xyzkg", truth.directions, bvecs)
    fibres = np.exp(-bvals * (ACROSS + (ALONG - ACROSS) * cosines**2)).mean(axis=-2)
    water = truth.water[..., None]
    signals: Floats = S0 * (water * np.exp(-bvals * WATER) + (1 - water) * fibres)
    if snr:
        random = np.random.default_rng(content_seed("diffusion noise", seed, *signals.shape))
        real, imaginary = random.normal(scale=S0 / snr, size=(2, *signals.shape))
        signals = np.hypot(signals + real, imaginary)
    return signals


def _half_sphere(n: int) -> Floats:
    """Directions in a spiral, each of the same area."""
    z = 1 - (np.arange(n) + 0.5) / n
    turn = np.pi * (1 + 5**0.5) * np.arange(n)
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _inside(shape: tuple[int, int, int]) -> np.ndarray:
    """All but the edge of the first axis."""
    inside = np.ones(shape, dtype=bool)
    inside[[0, -1]] = False
    return inside


def _write(path: Path, values: np.ndarray, slope: float | None = None) -> None:
    image: Any = _Image(values, np.diag([-2.0, 2.0, 2.0, 1.0]))
    if slope is not None:
        image.header.set_slope_inter(slope, 0.0)
    write_whole(path, gzip.compress(image.to_bytes(), mtime=0))
