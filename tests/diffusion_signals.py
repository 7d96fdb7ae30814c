"""Simulated diffusion signals for tests."""

import numpy as np

from cortax.workloads.diffusion.models.gradients import Gradients


def sphere(n):
    """Directions spread over a sphere (a Fibonacci lattice)."""
    z = 1 - (2 * np.arange(n) + 1) / n
    around = np.pi * (1 + 5**0.5) * np.arange(n)
    return np.column_stack([np.sqrt(1 - z * z) * np.cos(around), np.sqrt(1 - z * z) * np.sin(around), z])


def measured(*bvals, n=32):
    """One measurement without weighting, and n directions for the first b-value, one more for each further one."""
    bvecs = np.vstack([np.zeros((1, 3)), *(sphere(n + i) for i in range(len(bvals)))])
    return Gradients(np.concatenate([[0.0], *(np.full(n + i, float(b)) for i, b in enumerate(bvals))]), bvecs)


def tensors(n, *, seed=0, lowest=0.2e-3, highest=2e-3):
    """Tensors of any direction and shape: (n, 3, 3)."""
    random = np.random.default_rng(seed)
    evals = np.sort(random.uniform(lowest, highest, (n, 3)))
    frames = np.linalg.qr(random.normal(size=(n, 3, 3)))[0]
    return np.einsum("nij,nj,nkj->nik", frames, evals, frames)


def decay(gradients, tensors):
    """exp(-b g'Dg): (n, g)."""
    exponents = np.einsum("gi,nij,gj->ng", gradients.bvecs, tensors, gradients.bvecs)
    return np.exp(-exponents * gradients.bvals)


def noisy(signals, sd, *, seed=1):
    """Signals with Gaussian noise."""
    return signals + sd * np.random.default_rng(seed).normal(size=signals.shape)


def assert_same(one, other):
    """Two fits are equal to the bit."""
    for name in ("parameters", "sse", "iterations", "status"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
