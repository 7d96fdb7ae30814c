"""What was measured and fitted: volumes, shells, models, and what became of every voxel."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, PageSection, Sheet, Warned
from cortax.workloads.diffusion.models.fit import Status
from cortax.workloads.diffusion.models.gradients import shell_of_each
from cortax.workloads.diffusion.report.material import Material

__all__ = ["section"]


def section(material: Material) -> PageSection | None:
    """Return the section."""
    if not material.volumes:
        return None
    blocks: list[Block] = [_volumes(material)]
    status = material.made.table("diffusion_residuals", "status.parquet")
    if len(status):
        lost = status[[not Status[name.upper()].has_parameters for name in status["status"]]]
        if len(lost):
            n_lost, n_all = int(lost["n_voxels"].sum()), int(status["n_voxels"].sum())
            blocks.append(
                Warned(
                    f"{n_lost} of {n_all} voxels could not be fitted: the table says why, the map of the status where."
                )
            )
        blocks.append(
            Sheet("status", "What became of every voxel", status, ("model", "volume", "status"), {"status": "job"})
        )
    maps = material.made.table("diffusion_maps", "maps.parquet")
    if len(maps):
        filters = tuple(name for name in ("model", "volume", "map") if maps[name].nunique() > 1)
        blocks.append(Sheet("maps-in-numbers", "Every map in numbers", _readable(maps), filters, {"map": "job"}))
    return PageSection("study", "What was measured and fitted", tuple(blocks))


def _readable(maps: pd.DataFrame) -> pd.DataFrame:
    """Give diffusivities in um2/ms, of which three decimals say enough; in mm2/s they are thousandths."""
    small = maps["unit"] == "mm2/s"
    numbers = [name for name in maps.columns if maps[name].dtype == np.float64]
    return maps.assign(
        unit=maps["unit"].mask(small, "um2/ms"), **{name: maps[name].mask(small, 1000 * maps[name]) for name in numbers}
    )


def _volumes(material: Material) -> Block:
    rows = []
    first = {job.key["volume"]: job.id for job in reversed(material.made.of("diffusion_volume"))}
    for name, volume in material.volumes.items():
        gradients = volume.gradients
        means, counts = np.unique(shell_of_each(gradients)[~gradients.is_b0], return_counts=True)
        rows.append(
            {
                "volume": name,
                "voxels": len(volume),
                "grid": " x ".join(map(str, volume.shape)),
                "b0": int(gradients.is_b0.sum()),
                "shells (s/mm2: directions)": ", ".join(
                    f"{mean:.0f}: {n}" for mean, n in zip(means, counts, strict=True)
                ),
                "notes": "; ".join(volume.notes) or "none",
                "job": first[name],
            }
        )
    return Sheet("volumes", "Every volume", pd.DataFrame(rows), (), {"volume": "job"})
