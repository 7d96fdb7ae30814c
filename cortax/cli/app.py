"""What all sub-commands share: the command itself, where studies are, and how tables are printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from cortax.errors import CortaxError, ProjectError

__all__ = ["app", "console", "main", "print_table", "study_path"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
# A pipe or a log has no width: tables are written whole.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


@app.callback()
def about() -> None:
    """Which parcellation, which model, which target: cross them all, and keep what has not changed."""


def study_path(root: Path, name: str) -> Path:
    """Return the path of a study that is named by its file or by its name in studies/."""
    path = Path(name) if name.endswith(".toml") else root / "studies" / f"{name}.toml"
    path = path.resolve()
    if not path.is_file():
        known = sorted(p.stem for p in (root / "studies").glob("*.toml"))
        raise ProjectError(f"{name}: no such study; studies/ holds {known}, or give the path of a .toml file")
    if not path.is_relative_to(root):
        raise ProjectError(f"{path}: a study file must lie in the project ({root}), best in studies/")
    return path


def print_table(frame: pd.DataFrame) -> None:
    """Print a table whole, and how many rows it has."""
    rows = frame.to_dict("split")
    table = Table(*map(str, rows["columns"]), box=None, pad_edge=False)
    for row in rows["data"]:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    console.print(table)
    console.print(f"{len(rows['data'])} rows")


def main() -> NoReturn:
    """Run the command; errors that cortax raises on purpose are one message, no traceback."""
    try:
        app()
    except CortaxError as error:
        print(f"cortax: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
