"""The response of a single fibre, estimated from a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cortax.errors import InputError
from cortax.store import load
from cortax.workloads.diffusion.models.gradients import shell_mask
from cortax.workloads.diffusion.models.response import Response, auto_response, box
from cortax.workloads.diffusion.volumes import open_volume

__all__ = ["chosen_response", "estimate_response", "open_response"]


def estimate_response(
    folders: Sequence[str | Path], *, fa_threshold: float, shell: float | None, where: str
) -> dict[str, Any]:
    """Estimate the response from the voxels of the mask that lie in the middle of a volume, see `box`.

    Parameters
    ----------
    folders : sequence of path
        Of the `diffusion_volume` jobs of each block of voxels.
    fa_threshold : float
        See `auto_response`.
    shell : float, optional
        Of which b-value (s/mm2) the signals are; all of them where it is not said.
    where : str
        Begin of messages.

    Returns
    -------
    dict
        The fields of a `Response`.

    Raises
    ------
    CortaxError
        No voxel counts as a single fibre, or what was found is no response; see `auto_response`.
    """
    volume = open_volume(*folders)
    chosen = np.flatnonzero(box(volume.shape).ravel()[volume.voxels])
    if not chosen.size:
        raise InputError(f"{where}: no voxel of the mask lies in the middle of the volume; give a response")
    measured = shell_mask(volume.gradients, shell)
    # Of some thousand voxels at most.
    signals = np.concatenate([volume.read(voxel, voxel + 1) for voxel in chosen.tolist()])[:, measured]
    found = auto_response(signals, volume.gradients.select(measured), fa_threshold=fa_threshold, where=where)
    return asdict(found)


def open_response(folder: str | Path) -> Response:
    """Open the response of a job."""
    (found,) = load(folder, "response.json")
    return Response(tuple(found["evals"]), found["s0"], found["n_voxels"])


def chosen_response(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> Response | None:
    """Return the response that a job estimated, or that a study gives; None where there is none.

    Given are the diffusivity along and across fibres (mm2/s), and S0.
    """
    if jobs["response"]:
        return open_response(jobs["response"].path)
    if options["response"] is None:
        return None
    along, across, s0 = options["response"]
    return Response((along, across, across), s0)
