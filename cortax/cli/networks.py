"""The sub-command on networks: links, genes and agreement with what is known, of a study that has been built."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from cortax.cli.app import app, console, print_table
from cortax.errors import ProjectError
from cortax.grid.network_results import network_table
from cortax.grid.results import filtered
from cortax.grid.writing import sort_table, write_table
from cortax.project import find_root

__all__ = ["network", "print_network", "print_timings"]

_FEW = 5
# Of timings, in a terminal; files have every column.
_TOO_MUCH = ("repeats", "spread", "efficiency")


@app.command()
def network(
    study: Annotated[str, typer.Argument(help='name of a study with kind = "network" that has been built')],
    table: Annotated[
        str, typer.Option(help="links, genes (of the graph; hubs), scores (against [truth]) or timings")
    ] = "links",
    where: Annotated[list[str] | None, typer.Option(help="column=pattern, such as regulator=SOX*; repeatable")] = None,
    sort: Annotated[list[str] | None, typer.Option(help="column, or -column for the largest first; repeatable")] = None,
    rows: Annotated[int, typer.Option(min=1, help="how many are printed")] = 20,
    to: Annotated[Path | None, typer.Option(help="write every row to a file: .csv, .parquet or .tex")] = None,
) -> None:
    """Print the most important links of a network, its genes, or how well it agrees with what is known."""
    found = sort_table(filtered(network_table(find_root(), study, table), where or []), sort or [])
    if to is not None:
        write_table(found, to)
        print(f"{to}: {len(found)} rows")
        return
    print_table(_readable(found.head(rows)))
    if len(found) > rows:
        console.print(f"of {len(found)}; --rows shows more, --to writes all")


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """What fits a terminal: bytes as MB, and prices, which may be far below what three digits show."""
    table = table.drop(columns=[name for name in _TOO_MUCH if name in table])
    costs = [name for name in table if str(name).startswith("cost_")]
    table = table.assign(**{str(name): [f"{value:.3g}" for value in table[name]] for name in costs})
    return table.assign(memory=[f"{value / 1e6:.0f} MB" for value in table["memory"]]) if "memory" in table else table


def print_timings(root: Path, study: str) -> None:
    """How long networks took."""
    console.print(f"\n[bold]{study}[/bold]: seconds of the whole, from start to last gene")
    print_table(_readable(network_table(root, study, "timings")))
    console.print(f"cortax network {study} --table timings --to timings.csv")


def print_network(root: Path, study: str) -> None:
    """Agreement with what is known, the first links of each forest, and how to look further."""
    console.print(f"\n[bold]{study}[/bold]: the most important links of each forest")
    links = network_table(root, study, "links")
    print_table(links.groupby("forest", sort=False).head(_FEW).reset_index(drop=True))
    try:
        scores = network_table(root, study, "scores")
    except ProjectError:
        console.print("nothing is known of this network: [truth] of its study file would name a list of links")
    else:
        console.print("\nagreement with what is known, of all candidate links")
        print_table(scores.drop(columns="study"))
    console.print(
        f"\ncortax network {study}                links, of {len(links)} that are kept\n"
        f"cortax network {study} --table genes  degrees, hubs and components of the graph\n"
        f"cortax results {study} --why          what ran, and why\n"
        f"results/{study}/                      links.parquet, network.graphml and network.tsv of each forest"
    )
