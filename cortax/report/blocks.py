"""What a page is made of: sections of blocks, each of which knows how to be read without being seen."""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "Block",
    "Choice",
    "Figure",
    "PageSection",
    "Sheet",
    "Text",
    "Warned",
    "html_table",
    "job_link",
    "small_table",
]

# Smaller numbers are shown with an exponent; the script of the page has the same limit.
TINY = 5e-4
# Longer tables are compressed to a third; every browser since 2023 can undo it.
LARGE = 200_000


@dataclass(frozen=True)
class Text:
    """A paragraph. `markup` is HTML: what comes from a study goes through `html.escape` first."""

    markup: str
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Warned:
    """A paragraph of plain text that must not be overlooked."""

    text: str
    kind: str = field(default="warning", init=False)


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes
    ----------
    markup : str
        An `svg` or `img` element, or an `iframe`, that says itself what it shows; see `cortax.report.figures`.
    caption : str
        HTML.
    """

    markup: str
    caption: str
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table that sorts, filters and turns pages in the browser.

    Attributes
    ----------
    name : str
        Unique on the page; letters, digits and hyphens.
    caption : str
        Plain text.
    frame : DataFrame
        Numbers are shown with three decimals, but for integers, and for those that would be 0.000 then.
    filters : sequence of str
        Columns that get a menu of their values.
    jobs : mapping of column to column
        For a column that is shown the one, not shown, that holds the id of the job that made it.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    filters: Sequence[str] = ()
    jobs: Mapping[str, str] = field(default_factory=dict)
    kind: str = field(default="sheet", init=False)

    @property
    def data(self) -> str:
        """The table as it may stand inside a script element, see `sheet_data`."""
        return sheet_data(self)


@dataclass(frozen=True)
class Choice:
    """Figures of which one is shown at a time, chosen from a menu; a print shows all.

    `name` is unique on the page, `label` is plain text, `figures` are (plain text of the menu, figure).
    """

    name: str
    label: str
    figures: tuple[tuple[str, Figure], ...]
    kind: str = field(default="choice", init=False)


Block = Text | Warned | Figure | Sheet | Choice


@dataclass(frozen=True)
class PageSection:
    """A part of the page: `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


def sheet_data(sheet: Sheet) -> str:
    """Write a sheet column by column: 40,000 rows as objects would be five times as long.

    Words become numbers of a list of words; NaN and infinite values become null. What is large is compressed, and
    written in base64.
    """
    columns = [_column(name, sheet.frame[name]) for name in sheet.frame.columns]
    content = {"columns": columns, "filters": list(sheet.filters), "jobs": dict(sheet.jobs)}
    # No value may end the script element that it stands in.
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    if len(text) < LARGE:
        return text
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _column(name: str, values: pd.Series) -> dict[str, Any]:
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        codes, words = pd.factorize(values.astype(str))
        return {"name": name, "words": list(words), "codes": codes.tolist()}
    if pd.api.types.is_integer_dtype(values):
        return {"name": name, "whole": True, "values": values.tolist()}
    return {"name": name, "whole": False, "values": [_rounded(v) for v in values.to_numpy(dtype=np.float64).tolist()]}


def _rounded(value: float) -> float | None:
    """Round to what is shown and sorted by: p-values of 1e-7 stay what they are."""
    if not math.isfinite(value):
        return None
    return round(value, 5) if abs(value) >= TINY else float(f"{value:.2g}")


def small_table(frame: pd.DataFrame, caption: str) -> Text:
    """Write a table of few rows as it is; every value is escaped."""
    rows = [[html.escape(_shown(value)) for value in row] for row in frame.itertuples(index=False)]
    return html_table([str(name) for name in frame.columns], rows, caption)


def html_table(names: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Text:
    """Write a table of few rows whose cells are HTML; names and caption are plain text."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    shown = html.escape(caption, quote=True)
    return Text(
        f'<div class="wide" tabindex="0" role="region" aria-label="{shown}"><table>'
        f"<caption>{shown}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return "\u2013"
        return f"{value:.1e}" if 0 < abs(value) < TINY else f"{value:.3f}"
    return str(value)


def job_link(job: str, text: str = "") -> str:
    """Link to a job on the board."""
    return f'<a class="job" href="/job/{html.escape(job)}">{html.escape(text or job)}</a>'
