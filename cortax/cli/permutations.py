"""The sub-command on permutation tests of a study that has been built."""

from __future__ import annotations

from typing import Annotated

import typer

from cortax.cli.app import app, console, print_table
from cortax.grid import results as looked_up
from cortax.project import find_root
from cortax.stats.permutation_tests import warnings_of

__all__ = ["permutations"]

_SHOWN = ["target", "metric", "parcellation", "pipeline", "value", "null_mean", "null_sd", "p", "q", "p_max"]


@app.command()
def permutations(
    study: Annotated[str, typer.Argument(help="name of a study that has been built")],
    where: Annotated[list[str] | None, typer.Option(help="column=pattern, such as target=sex; repeatable")] = None,
) -> None:
    """Print the permutation tests of a study: p of each, and corrected for all of its metric (q, and p_max of any)."""
    table = looked_up.filtered(looked_up.permutation_tests(find_root(), study), where or [])
    print_table(table.sort_values(["target", "metric", "p"], kind="stable")[_SHOWN])
    for warning in warnings_of(table):
        console.print(warning)
    if len(table):
        drawn = table["n_permutations"]
        n = f"{drawn.min()}" if drawn.min() == drawn.max() else f"{drawn.min()} to {drawn.max()}"
        console.print(f"{n} permutations, {table['exchange'].iloc[0]}")
