"""What was measured and fitted: volumes, shells, models, and what became of every voxel."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, PageSection, Sheet, Warned
from cortax.workloads.diffusion.models.gradients import shells
from cortax.workloads.diffusion.report.material import Material

__all__ = ["section"]


def section(material: Material) -> PageSection | None:
    """Return the section."""
    if not material.volumes:
        return None
    blocks: list[Block] = [_volumes(material)]
    status = material.table("diffusion_fit", "status.parquet")
    if len(status):
        lost = status[status["meaning"].str.startswith("not fitted")]
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
    maps = material.table("diffusion_maps", "maps.parquet")
    if len(maps):
        filters = tuple(name for name in ("model", "volume", "map") if maps[name].nunique() > 1)
        blocks.append(Sheet("maps-in-numbers", "Every map in numbers", maps, filters, {"map": "job"}))
    return PageSection("study", "What was measured and fitted", tuple(blocks))


def _volumes(material: Material) -> Block:
    rows = []
    for job in material.made.of("diffusion_volume"):
        volume = material.volumes[job.key["volume"]]
        gradients = volume.gradients
        weighted = gradients.bvals[~gradients.is_b0]
        means = np.array(shells(gradients))
        counts = np.bincount(np.abs(weighted[:, None] - means).argmin(axis=1), minlength=len(means))
        rows.append(
            {
                "volume": job.key["volume"],
                "voxels": len(volume),
                "grid": " x ".join(map(str, volume.shape)),
                "b0": int(gradients.is_b0.sum()),
                "shells (s/mm2: directions)": ", ".join(
                    f"{mean:.0f}: {n}" for mean, n in zip(means, counts, strict=True)
                ),
                "notes": "; ".join(volume.notes) or "none",
                "job": job.id,
            }
        )
    return Sheet("volumes", "Every volume", pd.DataFrame(rows), (), {"volume": "job"})
