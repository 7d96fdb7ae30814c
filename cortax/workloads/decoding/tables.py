"""What a terminal shows of a decoding study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cortax.errors import ProjectError
from cortax.terminal import console, print_heading, print_table
from cortax.workflow.lookup.results import read_table

__all__ = ["print_decoding"]


def print_decoding(root: Path, study: str) -> None:
    """Scores of the group, or of every subject where there is none, and how to look further."""
    print_heading(study, "scores above chance")
    try:
        group = read_table(root, study, "group")
    except ProjectError:
        group = pd.DataFrame()
    table = group if len(group) else read_table(root, study, "scores")
    print_table(table)
    console().print(
        f"\ncortax results {study}                   scores of every subject\n"
        f"cortax results {study} --table clusters  when they are above chance, in a group\n"
        f"cortax results {study} --table choices   what inner folds chose, and how many columns were selected\n"
        f"cortax results {study} --why             what ran, and why\n"
        f"results/{study}/                         report.html; of each phase scores, group, clusters and maps.npz"
    )
