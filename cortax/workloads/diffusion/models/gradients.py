"""How a volume was measured, and whether a model can be fitted to it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortax.errors import StudyError
from cortax.learning.arrays import Bools, Floats

__all__ = ["Gradients", "check_model", "design_matrix", "n_harmonics", "shell_mask", "shells"]

# b-values that differ by no more, in s/mm2, from the next are of one shell: scanners report 985 and 1005 for 1000.
SAME_SHELL = 100.0


@dataclass(frozen=True, eq=False)
class Gradients:
    """The diffusion weighting of every measurement of a voxel.

    Attributes
    ----------
    bvals : float64 array of shape (g,)
        s/mm2.
    bvecs : float64 array of shape (g, 3)
        Unit length; zero where nothing is weighted.
    b0_threshold : float
        Up to this b-value, in s/mm2, a measurement counts as unweighted.
    """

    bvals: Floats
    bvecs: Floats
    b0_threshold: float = 50.0

    @property
    def is_b0(self) -> Bools:
        """Which measurements are unweighted: bool array of shape (g,)."""
        return np.asarray(self.bvals <= self.b0_threshold)

    def select(self, chosen: Bools) -> Gradients:
        """Return some of the measurements."""
        return Gradients(self.bvals[chosen], self.bvecs[chosen], self.b0_threshold)

    def table(self) -> Any:
        """Return DIPY's GradientTable of these measurements; DIPY must be installed."""
        from dipy.core.gradients import gradient_table

        with warnings.catch_warnings():
            # DIPY warns of a least b-value that is not 0, and of a threshold above it: both are as the study has them.
            warnings.simplefilter("ignore")
            return gradient_table(self.bvals, bvecs=self.bvecs, b0_threshold=self.b0_threshold)


def design_matrix(gradients: Gradients) -> Floats:
    """Return W, with log S = W (Dxx, Dxy, Dyy, Dxz, Dyz, Dzz, -log S0) under a tensor: (g, 7), s/mm2 and -1."""
    x, y, z = gradients.bvecs.T
    columns = (x * x, 2 * x * y, y * y, 2 * x * z, 2 * y * z, z * z)
    return -np.column_stack([*(column * gradients.bvals for column in columns), np.ones(len(x))])


def shells(gradients: Gradients) -> list[float]:
    """Return the mean b-value of every shell, rising, the unweighted measurements left out (s/mm2)."""
    weighted = np.sort(gradients.bvals[~gradients.is_b0])
    parts = np.split(weighted, np.flatnonzero(np.diff(weighted) > SAME_SHELL) + 1)
    return [float(part.mean()) for part in parts if len(part)]


def shell_mask(gradients: Gradients, shell: float | None) -> Bools:
    """Return which measurements belong to the shell nearest to a b-value, or are unweighted; all if it is None."""
    if shell is None:
        return np.ones(len(gradients.bvals), dtype=bool)
    means = np.array(shells(gradients))
    nearest = np.abs(gradients.bvals[:, None] - means).argmin(axis=1)
    return np.asarray(gradients.is_b0 | (nearest == np.abs(means - shell).argmin()))


def n_harmonics(sh_order: int) -> int:
    """Return how many even spherical harmonics there are up to an order.

    >>> n_harmonics(8)
    45
    """
    return (sh_order + 1) * (sh_order + 2) // 2


def check_model(kind: str, options: Mapping[str, Any], gradients: Gradients, *, where: str) -> None:
    """Check that these measurements determine a model.

    Parameters
    ----------
    kind, options
        As for `make_model`.
    gradients : Gradients
    where : str
        What messages begin with, such as `models.water, sub-01`.

    Raises
    ------
    StudyError
        Says what the model needs and what was measured.
    """
    if kind == "dipy":
        return
    if not gradients.is_b0.any():
        least = gradients.bvals.min()
        raise StudyError(
            f"{where}: {kind} needs a measurement without diffusion weighting, and none has a b-value of at most "
            f"b0_threshold = {gradients.b0_threshold:g} s/mm2; the least is {least:g}"
        )
    if kind == "csd":
        _check_csd(options, gradients, where)
        return
    _check_tensor(kind, gradients, where)


def _check_tensor(kind: str, gradients: Gradients, where: str) -> None:
    found = shells(gradients)
    if kind == "fwdti" and len(found) < 2:
        raise StudyError(
            f"{where}: fwdti needs at least two shells besides b0, as one shell does not tell free water from tissue "
            f"that diffuses faster; found {_listed(found)}"
        )
    rank = np.linalg.matrix_rank(design_matrix(gradients) / np.maximum(1.0, gradients.bvals.max()) ** _SCALED)
    if rank < 7:
        raise StudyError(
            f"{where}: a tensor has six elements, and these {int((~gradients.is_b0).sum())} directions determine only "
            f"{max(rank - 1, 0)} of them; at least six are needed that do not lie in one plane or cone"
        )


# b-values scale the columns of a tensor, and not that of S0.
_SCALED = np.array([1, 1, 1, 1, 1, 1, 0])


def _check_csd(options: Mapping[str, Any], gradients: Gradients, where: str) -> None:
    order = int(options.get("sh_order", 8))
    if order < 2 or order % 2:
        raise StudyError(f"{where}: sh_order must be an even number from 2 on. Got {order} instead.")
    found = shells(gradients)
    shell = options.get("shell")
    if shell is None and len(found) > 1:
        raise StudyError(
            f"{where}: csd has one response for one shell, and there are {len(found)}: {_listed(found)}; choose one, "
            f"such as shell = {found[-1]:.0f}"
        )
    if shell is not None and (not found or min(abs(mean - shell) for mean in found) > SAME_SHELL):
        raise StudyError(f"{where}: shell = {shell:g} is not there; found {_listed(found)}")
    n_directions = int((shell_mask(gradients, shell) & ~gradients.is_b0).sum())
    if n_harmonics(order) > n_directions:
        fits = max((even for even in range(2, order, 2) if n_harmonics(even) <= n_directions), default=0)
        advice = f"sh_order = {fits} is the highest that they determine" if fits else "no order fits"
        raise StudyError(
            f"{where}: sh_order = {order} has {n_harmonics(order)} coefficients, and the shell has {n_directions} "
            f"directions; {advice}"
        )


def _listed(found: list[float]) -> str:
    return "b = " + ", ".join(f"{mean:.0f}" for mean in found) + " s/mm2" if found else "none"
