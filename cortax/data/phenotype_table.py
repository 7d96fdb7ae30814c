"""What a study takes from its phenotype table: who the subjects are, and the targets, each apart from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.data.dropped import Dropped
from cortax.data.phenotypes import (
    TargetReport,
    expand_sessions,
    read_confounds,
    read_groups,
    read_table,
    read_targets,
)
from cortax.errors import InputError, choices

__all__ = ["PhenotypeTable", "read_phenotypes", "read_target_values"]


@dataclass(frozen=True, eq=False)
class PhenotypeTable:
    """Phenotypes of all subjects that have every confound. Targets are not among them: nobody is left out for one.

    Attributes
    ----------
    table : DataFrame
        Indexed by subject (sorted): confounds as float64, `group` and, where asked for, `site` and `stratum`.
    confounds : tuple of column names
    dropped : tuple of Dropped
    """

    table: pd.DataFrame
    confounds: tuple[str, ...]
    dropped: tuple[Dropped, ...]


def read_phenotypes(
    path: Path | str,
    *,
    id_columns: Sequence[str] = ("participant_id",),
    id_prefix: str = "",
    sessions: Sequence[str] | None = None,
    group: str | None = None,
    site: str | None = None,
    stratify: str | None = None,
    confounds: Sequence[str] = (),
    categorical: Sequence[str] = (),
) -> PhenotypeTable:
    """Read who the subjects are.

    Parameters
    ----------
    path : path
        CSV, TSV or Parquet.
    id_columns, id_prefix, sessions
        How subjects are named; see `read_table` and `expand_sessions`.
    group, site, stratify : str, optional
        Columns. Without a group each subject is one of its own.
    confounds, categorical : sequence of str
        Columns; numbers in categorical ones are codes.

    Raises
    ------
    InputError
        Whatever the readers find wrong; the message names file, column and subject.
    """
    frame = _frame(path, id_columns, id_prefix, sessions)
    coded, dropped = read_confounds(frame, confounds, categorical=categorical)
    if clash := sorted({"group", "site", "stratum"} & {*coded}):
        raise InputError(f"{path}: {clash}: a confound and group, site or stratum share a name")
    table = coded.copy()
    table["group"] = read_groups(frame, group) if group else frame.index.astype(str)
    if site:
        table["site"] = read_groups(frame, site)
    if stratify:
        if stratify not in frame:
            raise InputError(f"{path}: stratify: no such column: {choices(stratify, map(str, frame.columns))}")
        table["stratum"] = frame[stratify]
    return PhenotypeTable(table, tuple(coded.columns), dropped)


def read_target_values(
    path: Path | str,
    targets: Mapping[str, Mapping[str, Any]],
    *,
    id_columns: Sequence[str] = ("participant_id",),
    id_prefix: str = "",
    sessions: Sequence[str] | None = None,
    outlier_sd: float | None = None,
) -> tuple[pd.DataFrame, tuple[TargetReport, ...]]:
    """Read targets; what is found for one does not depend on which others are asked for.

    Parameters
    ----------
    path, id_columns, id_prefix, sessions
        See `read_phenotypes`.
    targets : dict of target to `kind`, `column`, `positive`
        As in the study file; None stands for the default.
    outlier_sd : float, optional
        See `read_targets`.

    Returns
    -------
    DataFrame of float64, a column a target (sorted), indexed by subject (sorted)
        NaN where missing; classes are 0 and 1.
    tuple of TargetReport

    Raises
    ------
    InputError
        See `read_targets`.
    """
    frame = _frame(path, id_columns, id_prefix, sessions)
    specs = {name: {k: v for k, v in spec.items() if v is not None} for name, spec in targets.items()}
    return read_targets(frame, specs, outlier_sd=outlier_sd)


def _frame(path: Path | str, id_columns: Sequence[str], id_prefix: str, sessions: Sequence[str] | None) -> pd.DataFrame:
    frame = read_table(path, id_columns, id_prefix=id_prefix)
    if sessions:
        frame = expand_sessions(frame, sessions)
    return frame.sort_index()
