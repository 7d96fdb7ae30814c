"""Results of a project that was built, in a notebook."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cortax.project import find_root
from cortax.workflow.lookup.results import read_table

__all__ = ["results"]


def results(study: str, table: str = "", *, root: str | Path | None = None) -> pd.DataFrame:
    """Return a table of a study that was built, as `cortax results STUDY --table TABLE` prints it.

    Parameters
    ----------
    study : str
    table : str
        By default the first of the study's kind: "scores" of regions, "links" of networks.
    root : path, optional
        The project; by default the one that this folder is in.

    Returns
    -------
    DataFrame
        All rows. Its columns are those of `cortax results`; NaN is a score that could not be computed.

    Raises
    ------
    ProjectError
        There is no project, the study was not built, has no such table, or its files were altered since.

    Examples
    --------
    >>> scores = cortax.results("demo")
    >>> scores.loc[scores["fold"] == "mean", ["target", "metric", "value"]]
      target metric  value
    1  fluid     r2   0.25
    """
    return read_table(find_root() if root is None else Path(root), study, table)
