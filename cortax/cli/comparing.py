"""The sub-command on comparisons: which models differ, in a study that has been built."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
import typer

from cortax.cli.app import app, console, print_table
from cortax.grid.results import comparison_table, filtered
from cortax.project import find_root

__all__ = ["compare"]

_SHOWN = ["kind", "within", "target", "metric", "a", "b", "difference", "interval", "p", "p_fdr", "practical", "note"]


@app.command()
def compare(
    study: Annotated[str, typer.Argument(help="name of a study that has been built, with [comparisons] in its file")],
    where: Annotated[list[str] | None, typer.Option(help="column=pattern, such as target=sex; repeatable")] = None,
    over_targets: Annotated[bool, typer.Option("--over-targets", help="tests over all targets")] = False,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="the interval of every score, of the same resamples")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="every column")] = False,
) -> None:
    """Print which pipelines and parcellations differ: differences (a minus b), intervals and tests."""
    name = "over_targets" if over_targets else "intervals" if intervals else "comparisons"
    table = filtered(comparison_table(find_root(), study, name), where or [])
    print_table(table if every or name != "comparisons" else _shown(table))
    if name == "comparisons":
        console.print(
            "p_fdr is adjusted for all tests of one kind and metric; practical: P(a lower, no difference, a higher)"
        )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """What fits a terminal, smallest p first within what is compared."""
    table = table.sort_values(["kind", "within", "metric", "p"], kind="stable")
    intervals = [f"{low:.3f} to {high:.3f}" for low, high in zip(table["low"], table["high"], strict=True)]
    sides = zip(table["p_left"], table["p_rope"], table["p_right"], strict=True)
    practical = [f"{left:.2f} {rope:.2f} {right:.2f}" for left, rope, right in sides]
    return table.assign(interval=intervals, practical=practical)[_SHOWN]
