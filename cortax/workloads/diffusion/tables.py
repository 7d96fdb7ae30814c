"""What a terminal shows of a diffusion study."""

from __future__ import annotations

from pathlib import Path

from cortax.terminal import console, print_heading, print_table
from cortax.workflow.lookup.results import read_table

__all__ = ["print_diffusion"]


def print_diffusion(root: Path, study: str) -> None:
    """Means of all maps, what became of voxels, and how to look further."""
    print_heading(study, "maps")
    print_table(read_table(root, study)[["model", "volume", "map", "n_voxels", "mean", "sd", "median"]])
    console().print(
        f"\ncortax results {study}                    every map in numbers\n"
        f"cortax results {study} --table status     what became of every voxel\n"
        f"cortax results {study} --table residuals  signals less what models predict, by gradient\n"
        f"cortax results {study} --why              what ran, and why\n"
        f"results/{study}/                          report.html; sub-*/dwi/ with maps (NIfTI) and sidecars"
    )
