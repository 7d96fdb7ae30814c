"""What commands share: where studies are, and how tables are printed. Light to import."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cortax.errors import ProjectError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["console", "plain_console", "print_heading", "print_table", "study_path"]

# Rows from which on a table is laid out here: Rich takes 2 ms a row, a minute for the links of a network.
_LONG = 100


@functools.cache
def console() -> Console:
    """Return the terminal. A pipe or a log has no width: tables are written whole.

    What is printed is text as it is: brackets and colons in the names of studies and columns are no markup.
    """
    return plain_console(None if sys.stdout.isatty() else 200)


def plain_console(width: int | None) -> Console:
    """Return a terminal of this width, or of its own, that takes no text for markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_heading(study: str, rest: str) -> None:
    """Print a line that begins with the name of a study, in bold."""
    from rich.text import Text

    console().print(Text.assemble("\n", (study, "bold"), f": {rest}"))


def study_path(root: Path, name: str) -> Path:
    """Return the path of a study that is named by its file or by its name in studies/.

    Raises
    ------
    ProjectError
        There is none, or it lies outside the project.
    """
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
    from rich.table import Table
    from rich.text import Text

    rows = frame.to_dict("split")
    header, cells = [*map(str, rows["columns"])], [[*map(_cell, row)] for row in rows["data"]]
    if len(cells) > _LONG:
        console().print(Text("\n".join(_lines([header, *cells]))), soft_wrap=True)
    else:
        table = Table(*header, box=None, pad_edge=False)
        for row in cells:
            table.add_row(*row)
        console().print(table)
    console().print(f"{len(cells)} rows")


def _lines(rows: list[list[str]]) -> list[str]:
    """Lay out rows of cells as Rich does, but for what a narrow terminal would wrap."""
    from rich.cells import cell_len

    rows = [[" ".join(cell.split("\n")) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    # Prices and small p-values are not to pass for 0.
    return f"{value:.3g}" if 0 < abs(value) < 5e-4 else f"{value:.3f}"
