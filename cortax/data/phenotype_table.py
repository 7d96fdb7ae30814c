"""What a study takes from its phenotype table, in one frame: targets, confounds, group, site and stratum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.data.dropped import Dropped
from cortax.data.phenotypes import expand_sessions, read_confounds, read_groups, read_table, read_targets
from cortax.errors import InputError, choices

__all__ = ["PhenotypeTable", "read_phenotypes"]


@dataclass(frozen=True, eq=False)
class PhenotypeTable:
    """Phenotypes of all subjects that have every confound.

    Attributes
    ----------
    table : DataFrame
        Indexed by subject (sorted): targets and confounds as float64, `group` and, where asked for, `site` and
        `stratum`.
    tasks : dict of target to task
    confounds : tuple of column names
    dropped : tuple of Dropped
    report : list of dict
        For each target how many values there are, are missing or were outliers.
    """

    table: pd.DataFrame
    tasks: dict[str, str]
    confounds: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    report: list[dict[str, Any]]


def read_phenotypes(
    path: Path | str,
    targets: Mapping[str, Mapping[str, Any]],
    *,
    id_columns: Sequence[str] = ("participant_id",),
    id_prefix: str = "",
    sessions: Sequence[str] | None = None,
    group: str | None = None,
    site: str | None = None,
    stratify: str | None = None,
    confounds: Sequence[str] = (),
    categorical: Sequence[str] = (),
    outlier_sd: float | None = None,
) -> PhenotypeTable:
    """Read everything that a study takes from its table.

    Parameters
    ----------
    path : path
        CSV, TSV or Parquet.
    targets : dict of target to `kind`, `column`, `positive`
        As in the study file; None stands for the default.
    id_columns, id_prefix, sessions
        How subjects are named; see `read_table` and `expand_sessions`.
    group, site, stratify : str, optional
        Columns. Without a group each subject is one of its own.
    confounds, categorical : sequence of str
        Columns; numbers in categorical ones are codes.
    outlier_sd : float, optional
        See `read_targets`.

    Raises
    ------
    InputError
        Whatever the readers find wrong; the message names file, column and subject.
    """
    frame = read_table(path, id_columns, id_prefix=id_prefix)
    if sessions:
        frame = expand_sessions(frame, sessions)
    frame = frame.sort_index()
    specs = {name: {k: v for k, v in spec.items() if v is not None} for name, spec in targets.items()}
    values, report = read_targets(frame, specs, outlier_sd=outlier_sd)
    coded, dropped = read_confounds(frame, confounds, categorical=categorical)
    if clash := sorted((set(targets) & set(coded)) | ({"group", "site", "stratum"} & {*targets, *coded})):
        raise InputError(f"{path}: {clash}: a target, a confound and group, site or stratum share a name")
    table = pd.concat([values[list(targets)].loc[coded.index], coded], axis=1)
    table["group"] = read_groups(frame, group) if group else frame.index.astype(str)
    if site:
        table["site"] = read_groups(frame, site)
    if stratify:
        if stratify not in frame:
            raise InputError(f"{path}: stratify: no such column: {choices(stratify, map(str, frame.columns))}")
        table["stratum"] = frame[stratify]
    return PhenotypeTable(
        table,
        {name: str(spec["kind"]) for name, spec in targets.items()},
        tuple(coded.columns),
        dropped,
        [asdict(about) for about in report],
    )
