"""What a study takes from its phenotype table: who the subjects are, and the targets, each apart from the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cortax.brain.data.dropped import Dropped, tally
from cortax.brain.data.listed import apply_lists, read_list
from cortax.brain.data.people_files import table_files
from cortax.brain.data.phenotypes import (
    TargetReport,
    expand_sessions,
    read_confounds,
    read_groups,
    read_strata,
    read_targets,
)
from cortax.brain.data.rows import NOT_SELECTED, RowRules, person_columns, read_rows
from cortax.brain.data.sidecar import Column, check_levels
from cortax.errors import InputError, choices

__all__ = ["People", "PhenotypeTable", "people_of", "read_phenotypes", "read_target_values"]

# Parts of BIDS names that tell a person's rows apart: sub-01_ses-2_run-1.
_ENTITIES = re.compile(r"_(?:ses|run|task|acq|echo|rec|dir)-[A-Za-z0-9]+")
# Columns of the table itself; a confound of such a name is told apart from them.
_OWN = ("group", "site", "stratum", "scanner site")
# What the columns of covariates begin with that harmonisation preserves: a confound may be one of them.
_PRESERVED = "preserved: "


@dataclass(frozen=True, eq=False)
class PhenotypeTable:
    """Phenotypes of all subjects that have every confound. Targets are not among them: nobody is left out for one.

    Attributes
    ----------
    table : DataFrame
        Indexed by subject (sorted): confounds as float64, `group` and, where asked for, `site`, `stratum`,
        `scanner site` (whose effect is removed), and a column for each preserved covariate.
    confounds : tuple of column names
        A confound that is called as one of those columns is "group (confound)".
    dropped : tuple of Dropped
    kept_together : str
        Whose rows are a group, in words.
    n_divided : int
        People whose rows are in more than one group, as the study asks for.
    notes : tuple of str
        How many rows were selected, and how many people are not in each of several files.
    warnings : tuple of str
        Identifiers in `include` and `exclude` that nobody has.
    harmonise : dict, or None
        `site`, the name of the column; `preserved`, column by the name of the covariate; `unseen` as given.
    """

    table: pd.DataFrame
    confounds: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    kept_together: str
    n_divided: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    harmonise: dict[str, Any] | None = None


@dataclass(frozen=True)
class People:
    """Whose rows of which tables are studied: keys of `[phenotypes]`.

    Attributes
    ----------
    files : tuple of paths
        Joined side by side where there are several, see `read_rows`.
    rules : RowRules
    sessions : sequence of str
        See `expand_sessions`.
    include, exclude : path or sequence of str
        See `read_list`; nothing where they are empty.
    """

    files: tuple[Path | str, ...]
    rules: RowRules = field(default_factory=RowRules)
    sessions: Sequence[str] = ()
    include: Path | str | Sequence[str] = ()
    exclude: Path | str | Sequence[str] = ()


def people_of(about: Mapping[str, Any], root: Path) -> People:
    """Make `People` of the keys of `[phenotypes]`, as a study or the options of a job have them."""
    rules = RowRules(
        about["id"], about["id_prefix"], about["id_rule"], about["where"] or "", about["missing"], about["join"] or ()
    )
    lists = [root / given if isinstance(given := about[key], str) else given or () for key in ("include", "exclude")]
    return People(tuple(root / file for file in table_files(about)), rules, about["sessions"] or (), *lists)


def read_phenotypes(
    people: People | Path | str,
    *,
    group: str | Literal[False] | None = None,
    site: str | None = None,
    stratify: str | None = None,
    confounds: Sequence[str] = (),
    categorical: Sequence[str] = (),
    outlier_sd: float | None = None,
    endings: Sequence[str] = (),
    harmonise: Mapping[str, Any] | None = None,
) -> PhenotypeTable:
    """Read who the subjects are.

    Parameters
    ----------
    people : People, or path of a table with a row for each `participant_id`
    group : str or False, optional
        A column. Without it all rows of a person are a group: all sessions, all rows whose identifiers differ in
        columns such as session or run only, or in such parts of a BIDS name (sub-01_ses-2). False: each row is one.
    site, stratify : str, optional
        Columns.
    confounds, categorical : sequence of str
        Columns; numbers in categorical ones are codes.
    outlier_sd : float, optional
        See `read_confounds`.
    endings : sequence of str
        Sessions that identifiers end with ("01_baseline"), where the table has a row for each.
    harmonise : mapping, optional
        `site` and `preserve`, columns; `categorical`, those of the latter whose numbers are codes; `unseen`, see
        `ComBat`. Whoever lacks one is left out.

    Raises
    ------
    InputError
        Whatever the readers find wrong; a value that is none of its column's levels; a person with rows in several
        groups; several columns of identifiers, none of which looks like that of the person, and no group. The message
        names file, column and subject.
    """
    people = people if isinstance(people, People) else People((people,))
    rows = _read_people(people, endings)
    frame, persons, id_columns = rows.frame, rows.persons, people.rules.id_columns
    others = (harmonise["site"], *harmonise["preserve"]) if harmonise else ()
    rows.check_levels([name for name in (group, site, stratify, *confounds, *others) if isinstance(name, str)])
    labels, kept_together, n_divided = _groups(frame, persons, group, id_columns)
    sites, lacking = None, tuple[Dropped, ...]()
    if harmonise:
        sites, lacking = _read_sites(frame, harmonise, outlier_sd, persons)
        frame = frame.loc[sites.index]
        persons = persons.loc[sites.index]
    coded, dropped = read_confounds(frame, confounds, categorical=categorical, outlier_sd=outlier_sd, persons=persons)
    table = coded.rename(columns={name: f"{name} (confound)" for name in _OWN})
    names = tuple(table.columns)
    table["group"] = labels
    if site:
        table["site"] = read_groups(frame, site)
    if stratify:
        table["stratum"] = read_strata(frame, stratify)
    about = None
    if harmonise and sites is not None:
        table = table.join(sites)
        preserved = {name.removeprefix(_PRESERVED): name for name in sites.columns[1:]}
        about = {"site": sites.columns[0], "preserved": preserved, "unseen": harmonise["unseen"]}
    every = tuple(sorted((*rows.dropped, *dropped, *lacking), key=lambda one: one.participant_id))
    return PhenotypeTable(table, names, every, kept_together, n_divided, rows.notes, rows.warnings, about)


def _read_sites(
    frame: pd.DataFrame, harmonise: Mapping[str, Any], outlier_sd: float | None, persons: pd.Series[Any]
) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    """Return the site and the preserved covariates of all who have them, and everybody else."""
    column, file = harmonise["site"], str(frame.attrs["path"])
    if column not in frame:
        raise InputError(f"{file}: harmonise, site: {choices(column, frame.columns)}")
    missing = frame.index[frame[column].isna()]
    lacking = tuple(Dropped(str(subject), f"missing site: {column}", file) for subject in missing)
    rest = frame.drop(index=missing)
    if rest.empty:
        raise InputError(f"{file}: harmonise, site: column {column!r} is empty")
    covariates, dropped = read_confounds(
        rest,
        harmonise["preserve"],
        categorical=harmonise["categorical"],
        outlier_sd=outlier_sd,
        persons=persons.loc[rest.index],
        what="preserved covariate",
    )
    sites = read_groups(rest, column).loc[covariates.index]
    return pd.concat([sites.rename("scanner site"), covariates.add_prefix(_PRESERVED)], axis=1), (*lacking, *dropped)


def read_target_values(
    people: People | Path | str, targets: Mapping[str, Mapping[str, Any]], *, outlier_sd: float | None = None
) -> tuple[pd.DataFrame, tuple[TargetReport, ...]]:
    """Read targets; what is found for one does not depend on which others are asked for.

    Parameters
    ----------
    people : People, or path of a table with a row for each `participant_id`
    targets : dict of target to `kind`, `column`, `positive`, `order`
        As in the study file; None stands for the default.
    outlier_sd : float, optional
        See `read_targets`.

    Returns
    -------
    DataFrame of float64, a column a target (sorted), indexed by subject (sorted)
        NaN where missing; classes are 0, 1, 2, ...
    tuple of TargetReport

    Raises
    ------
    InputError
        See `read_targets`; or a value is none of its column's levels.
    """
    rows = _read_people(people if isinstance(people, People) else People((people,)))
    specs = {name: {k: v for k, v in spec.items() if v is not None} for name, spec in targets.items()}
    rows.check_levels([str(spec.get("column", name)) for name, spec in specs.items()])
    return read_targets(rows.frame, specs, outlier_sd=outlier_sd, meanings=rows.columns)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of those who are studied, sorted by subject; what is not explained is that of `TableRows`."""

    frame: pd.DataFrame
    persons: pd.Series[Any]
    numbers: Mapping[str, int]
    columns: Mapping[str, Column]
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def check_levels(self, names: Sequence[str]) -> None:
        """Make sure that all values of some columns are levels of theirs."""
        for name in names:
            if name in self.columns and name in self.frame:
                check_levels(self.frame[name], self.columns[name], self.frame.attrs["path"], self.numbers)


def _read_people(people: People, endings: Sequence[str] = ()) -> _Rows:
    """Read the rows of those who are studied, and whose each is."""
    rows = read_rows(people.files, people.rules)
    frame, persons, numbers = rows.frame, _persons(rows.parts, people.rules, endings), rows.numbers
    ids = [drop.participant_id for drop in rows.dropped]
    if people.sessions:
        frame = expand_sessions(frame, people.sessions)
        persons = pd.concat([persons] * len(people.sessions)).set_axis(frame.index)
        numbers = {f"{name}_{session}": row for session in people.sessions for name, row in numbers.items()}
        ids = [f"{name}_{session}" for session in people.sessions for name in ids]
    dropped = [Dropped(name, NOT_SELECTED, frame.attrs["path"]) for name in ids]
    include, exclude = (read_list(given, people.rules) if given else None for given in (people.include, people.exclude))
    try:
        listed, warnings = apply_lists(persons, include, exclude, ids)
    except InputError as error:
        raise InputError(f"{frame.attrs['path']}: {error}") from error
    kept = frame.drop(index=[drop.participant_id for drop in listed]).sort_index()
    notes = list(rows.notes)
    if include or exclude:
        notes.append(f"lists leave out {len(listed)} of {len(frame)} rows" + (f": {tally(listed)}" if listed else ""))
    return _Rows(
        kept,
        persons[kept.index].astype(object),
        numbers,
        rows.columns,
        tuple(sorted([*dropped, *listed], key=lambda drop: drop.participant_id)),
        tuple(notes),
        warnings,
    )


def _persons(parts: pd.DataFrame, rules: RowRules, endings: Sequence[str]) -> pd.Series[Any]:
    """Whose row each is, without what sessions may add to an identifier."""
    whose = person_columns(rules.id_columns)
    persons = pd.Series(parts.index.astype(str), index=parts.index)
    if whose and len(whose) < len(rules.id_columns):
        persons = parts[whose].agg("_".join, axis=1).str.removeprefix(rules.id_prefix)
    elif endings:
        # One of them, the longest: a person may be called "NYU_1", too.
        ending = "|".join(map(re.escape, sorted(endings, key=len, reverse=True)))
        persons = persons.str.replace(f"_(?:{ending})$", "", regex=True)
    return persons.str.replace(_ENTITIES, "", regex=True)


def _groups(
    frame: pd.DataFrame, persons: pd.Series[Any], group: str | Literal[False] | None, id_columns: Sequence[str]
) -> tuple[pd.Series[Any], str, int]:
    """Return the group of every row, what they are in words, and how many people they divide."""
    path, n_people = frame.attrs["path"], persons.nunique()
    several = f"{len(frame)} rows of {n_people} people"
    if group is None and not person_columns(id_columns):
        raise InputError(
            f"{path}: id = {list(id_columns)}: which of them is the person, whose rows must not be on both sides of a "
            "split? Say group = '<column>', or group = false if each row is another person's"
        )
    alone = pd.Series(frame.index.astype(str), index=frame.index)
    if group is None and n_people < len(frame):
        return persons, f"{several}; the rows of a person are a group", 0
    if n_people == len(frame) and not group:
        return alone, "each subject is a group of its own", 0
    labels = read_groups(frame, group) if group else alone
    n_groups = labels.groupby(persons).nunique()
    divided = sorted(n_groups.index[n_groups > 1])
    if group is False:
        said = f"{several}; each row is a group of its own, as the study says (group = false)"
        return labels, said, len(divided)
    if divided:
        raise InputError(
            f"{path}: column {group!r}: {len(divided)} people have rows in several groups, which a split would divide: "
            f"{divided[:5]}"
        )
    return labels, f"column {group!r}: {labels.nunique()} groups", 0
