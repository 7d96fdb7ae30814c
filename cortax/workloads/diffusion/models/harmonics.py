"""Real, even spherical harmonics as DIPY defines them.

The basis is DIPY's `descoteaux07` in its legacy form, in which its constrained spherical deconvolution gives its
coefficients: of order l = 0, 2, ... and degree m = -l, ..., l, with sqrt(2) Re Y_l^|m| for m < 0, Y_l^0 for m = 0, and
sqrt(2) Im Y_l^m for m > 0 (after Descoteaux et al. 2007, Magn. Reson. Med.). MRtrix3's `tournier07` differs from it in
signs and order only: `to_mrtrix`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cortax.learning.arrays import Floats

__all__ = ["basis_of", "harmonic_names", "peak_sphere", "to_mrtrix"]


def harmonic_names(sh_order: int) -> tuple[str, ...]:
    """Return the names of coefficients, l and m.

    >>> harmonic_names(2)
    ('sh_0_0', 'sh_2_-2', 'sh_2_-1', 'sh_2_0', 'sh_2_1', 'sh_2_2')
    """
    return tuple(f"sh_{l}_{m}" for l in range(0, sh_order + 1, 2) for m in range(-l, l + 1))  # noqa: E741


def basis_of(directions: Floats, n_coefficients: int) -> Floats:
    """Return the first harmonics at unit vectors of shape (n, 3): (n, n_coefficients)."""
    from dipy.core.geometry import cart2sphere
    from dipy.reconst.shm import order_from_ncoef, real_sh_descoteaux

    _, theta, phi = cart2sphere(*np.asarray(directions, dtype=np.float64).T)
    with warnings.catch_warnings():
        # The legacy basis is meant: see above.
        warnings.simplefilter("ignore")
        return np.asarray(real_sh_descoteaux(order_from_ncoef(n_coefficients), theta, phi)[0])


def peak_sphere() -> Any:
    """Return DIPY's `default_sphere`, on which it looks for peaks: 362 directions over half a sphere."""
    from dipy.data import default_sphere

    return default_sphere


def to_mrtrix(coefficients: Floats) -> Floats:
    """Return coefficients of shape (n, n_harmonics) in MRtrix3's basis, `tournier07`; NaN for NaN."""
    from dipy.reconst.shm import convert_sh_descoteaux_tournier

    return np.asarray(convert_sh_descoteaux_tournier(coefficients))
