"""Expression matrices: samples x genes, from tables and from AnnData files."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.data.files import ends_with, opened
from cortax.data.textfiles import column_names, read_columns, row_ids
from cortax.errors import InputError, choices

__all__ = ["Expression", "read_expression", "row_names"]

_LAYOUTS = ("columns", "rows")
_FEWEST = 3


@dataclass(frozen=True, eq=False)
class Expression:
    """A matrix of expression.

    Attributes
    ----------
    values : float64 array of shape (n_samples, n_genes)
        Finite; in the units of the file.
    genes, samples : tuples of str
        Each name once, in the file's order.
    """

    values: npt.NDArray[np.float64]
    genes: tuple[str, ...]
    samples: tuple[str, ...]

    def constant(self) -> tuple[str, ...]:
        """Return the genes that have one value in all samples: nothing can be told about them, or by them."""
        flat = np.ptp(self.values, axis=0) == 0
        return tuple(gene for gene, is_flat in zip(self.genes, flat, strict=True) if is_flat)


def read_expression(path: Path | str, *, genes_in: str = "columns", names_in: str | None = None) -> Expression:
    """Read a matrix of expression.

    Parameters
    ----------
    path : path
        .csv, .tsv, .txt (tab-separated) or .parquet with a header; or .h5ad, which has samples as observations and
        genes as variables, whatever `genes_in` says, and needs the extra "expression" (anndata). Sparse matrices
        become dense; of an .h5ad file only `X` is read, no layer.
    genes_in : {"columns", "rows"}
        Whether a table has a gene in each column or in each row.
    names_in : str, optional
        The column that names the rows. By default the first one where genes are in rows; where they are in columns,
        the first one if its header is empty, and else none: samples are then numbered from "1".

    Returns
    -------
    Expression

    Raises
    ------
    InputError
        Missing or unreadable, a name that is empty or occurs twice, a cell that is no finite number (the first is
        named; missing ones are counted), fewer than 3 samples, no gene, or anndata is not installed.
    """
    path = Path(path)
    if genes_in not in _LAYOUTS:
        raise InputError(f"genes_in: {choices(genes_in, _LAYOUTS)}")
    if ends_with(path, ".h5ad"):
        return _checked(path, *_read_h5ad(path))
    values, rows, columns = _read_table(path, names_in, named=genes_in == "rows")
    if genes_in == "rows":
        return _checked(path, np.ascontiguousarray(values.T), rows, columns)
    return _checked(path, values, columns, rows)


def row_names(path: Path, names_in: str | None) -> list[str]:
    """Return what the rows of a table are called, where a column says so; see `read_expression`.

    Raises
    ------
    InputError
        See `read_expression`.
    """
    header = column_names(path)
    name = header[0] if names_in is None and header and not header[0] else names_in
    return [] if name is None else row_ids(path, read_columns(path, [name], ()), [name], "")


def _read_table(
    path: Path, names_in: str | None, *, named: bool
) -> tuple[npt.NDArray[np.float64], list[str], list[str]]:
    header = column_names(path)
    if names_in is None and header and (named or not header[0]):
        names_in = header[0]
    ids = [] if names_in is None else [names_in]
    frame = read_columns(path, ids, header)
    rows = row_ids(path, frame, ids, "") if ids else [str(row) for row in frame.index]
    columns = [str(name) for name in frame.columns if name not in ids]
    if not columns:
        raise InputError(f"{path}: no column of numbers")
    n_missing = int(frame[columns].isna().to_numpy().sum())
    if n_missing:
        row, column = np.argwhere(frame[columns].isna().to_numpy())[0]
        raise InputError(
            f"{path}: {n_missing} values are missing, the first in column {columns[column]!r}, data row {row + 1}; "
            "impute or leave out before"
        )
    return np.column_stack([_numbers(path, frame[name]) for name in columns]), rows, columns


def _numbers(path: Path, column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        where = f"column {column.name!r}, data row {row + 1}"
        hint = "; if it names the rows, say so (names_in)" if bad.all() else ""
        raise InputError(f"{path}: {where}: not a finite number: {str(column.iloc[row])!r}{hint}")
    return values


def _read_h5ad(path: Path) -> tuple[npt.NDArray[np.float64], list[str], list[str]]:
    try:
        import anndata
    except ImportError as error:
        raise InputError(f"{path}: reading .h5ad needs anndata: pip install 'cortax[expression]'") from error
    with opened(path, "AnnData file"), warnings.catch_warnings():
        # Of old files anndata says where it puts parts that are not needed here.
        warnings.simplefilter("ignore", FutureWarning)
        data = anndata.read_h5ad(path)
        matrix = data.X.toarray() if hasattr(data.X, "toarray") else data.X
        values = np.asarray(matrix, dtype=np.float64)
    genes, samples = ([str(name) for name in names] for names in (data.var_names, data.obs_names))
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        sample, gene = bad[0]
        raise InputError(
            f"{path}: {len(bad)} values are NaN or infinite, the first of gene {genes[gene]!r} in sample "
            f"{samples[sample]!r}"
        )
    return values, genes, samples


def _checked(path: Path, values: npt.NDArray[np.float64], genes: Sequence[str], samples: Sequence[str]) -> Expression:
    for what, names in (("genes", genes), ("samples", samples)):
        twice = sorted(name for name, n in Counter(names).items() if n > 1)
        if twice:
            raise InputError(f"{path}: {what} that occur more than once: {twice[:5]} ({len(twice)} of them)")
        if "" in names:
            raise InputError(f"{path}: one of the {what} has no name (number {list(names).index('') + 1})")
    if len(samples) < _FEWEST or not genes:
        raise InputError(f"{path}: {len(samples)} samples of {len(genes)} genes; at least {_FEWEST} samples are needed")
    return Expression(values, tuple(genes), tuple(samples))
