"""What a terminal shows of a study of sequences."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cortax.errors import ProjectError
from cortax.terminal import console, print_heading, print_table
from cortax.workflow.lookup.results import read_table

__all__ = ["print_sequences", "summarise_skill"]


def summarise_skill(table: pd.DataFrame) -> pd.DataFrame:
    """Return medians over seeds of the test period, and how many models diverged."""
    part = table[table["period"] == "test"]
    groups = part.groupby(["site", "target", "factor"], sort=False, as_index=False)
    return groups.agg(
        n_seeds=("seed", "size"),
        nse=("nse", "median"),
        kge=("kge", "median"),
        rmse=("rmse", "median"),
        bias=("bias", "median"),
        diverged=("diverged", lambda column: int((column == "yes").sum())),
    )


def print_sequences(root: Path, study: str) -> None:
    """What a second target is worth, or the skill of every factor; and how to look further."""
    print_heading(study, "skill of networks in the test period")
    compared = ""
    try:
        table = read_table(root, study, "gains")
        compared = (
            f"cortax results {study} --table gains    what secondary targets are worth, site by site\n"
            f"cortax results {study} --table choices  factors chosen by validation\n"
        )
    except ProjectError:
        table = summarise_skill(read_table(root, study, "skill"))
    print_table(table)
    console().print(
        f"\ncortax results {study}                  skill of every factor, medians over seeds\n"
        f"cortax results {study} --table means    the same of means over seeds, beside a linear model\n"
        f"{compared}"
        f"cortax results {study} --why            what ran, and why\n"
        f"results/{study}/                        report.html, tables; of each site its skill"
    )
