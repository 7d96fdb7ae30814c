"""The subjects of a study, in one fixed order, and their targets, each a file of its own.

A subject is in the phenotype table and in all sources of maps or regions. No target decides about that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.errors import FoldError, InputError
from cortax.learning.arrays import Floats
from cortax.learning.combat import Harmonisation
from cortax.store import build, load, save, split

__all__ = ["Cohort", "Targets", "join_cohort", "open_cohort", "open_targets", "rows_of", "save_cohort", "save_target"]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Who is studied.

    Attributes
    ----------
    subjects : tuple of str
        Sorted.
    confounds : float64 array of shape (n_subjects, n_confounds)
    groups : str array of shape (n_subjects,)
        What must not be divided, such as families; each subject its own group where there are none.
    harmonise : Harmonisation, or None
        The sites whose effects are removed.
    """

    subjects: tuple[str, ...]
    confounds: Floats
    confound_names: tuple[str, ...]
    groups: npt.NDArray[np.str_]
    harmonise: Harmonisation | None = None


@dataclass(frozen=True, eq=False)
class Targets:
    """What is predicted.

    Attributes
    ----------
    values : float64 array of shape (n_subjects, n_targets)
        NaN where a target is missing; classes are 0 and 1.
    names, tasks : tuple of str
        A task is `regression` or `classification`.
    """

    values: Floats
    names: tuple[str, ...]
    tasks: tuple[str, ...]


def join_cohort(
    phenotypes: pd.DataFrame,
    confounds: Sequence[str],
    with_regions: Mapping[str, Sequence[str]],
    harmonise: Mapping[str, Any] | None = None,
) -> tuple[Cohort, pd.DataFrame]:
    """Keep the subjects that every source knows.

    Parameters
    ----------
    phenotypes : DataFrame
        Indexed by subject, with a column for each confound, and `group`.
    confounds : sequence of str
        Columns of `phenotypes`.
    with_regions : dict
        For each source of maps or regions, as it is called in messages, its subjects.
    harmonise : mapping, optional
        `site`, the name of a column of `phenotypes`; `preserved`, column by the name of the covariate; `unseen`, see
        `ComBat`.

    Returns
    -------
    Cohort
    DataFrame
        `participant_id`, `reason` of every subject that a source lacks.

    Raises
    ------
    InputError
        No subject is left; the message shows some ids of both sides, which usually tells why.
    """
    known = [(source, set(subjects)) for source, subjects in with_regions.items()]
    known.append(("phenotypes", set(phenotypes.index)))
    everyone = sorted(set().union(*(subjects for _, subjects in known)))
    lacking = {s: [source for source, subjects in known if s not in subjects] for s in everyone}
    kept = [subject for subject in everyone if not lacking[subject]]
    if not kept:
        examples = ", ".join(f"{source}: {sorted(subjects)[:3]}" for source, subjects in known)
        raise InputError(f"no subject is in all of the inputs; their first ids are {examples}")
    dropped = pd.DataFrame(
        [(s, f"lacks {', '.join(sources)}") for s, sources in lacking.items() if sources],
        columns=["participant_id", "reason"],
    )
    table = phenotypes.loc[kept]
    cohort = Cohort(
        subjects=tuple(kept),
        confounds=table[list(confounds)].to_numpy(np.float64),
        confound_names=tuple(confounds),
        groups=table["group"].to_numpy(np.str_),
        harmonise=_harmonisation(table, harmonise) if harmonise else None,
    )
    return cohort, dropped


def _harmonisation(table: pd.DataFrame, harmonise: Mapping[str, Any]) -> Harmonisation:
    preserved = harmonise["preserved"]
    covariates = table[list(preserved.values())].to_numpy(np.float64)
    return Harmonisation.of(
        table[harmonise["site"]].to_numpy(np.str_), covariates, list(preserved), harmonise["unseen"]
    )


def rows_of(cohort: Cohort, subjects: Sequence[str], where: str) -> npt.NDArray[np.int64]:
    """Return for each subject of the cohort its row among `subjects`.

    Raises FoldError: some are not there; the message names them and `where`.
    """
    row = {subject: number for number, subject in enumerate(subjects)}
    if missing := [subject for subject in cohort.subjects if subject not in row]:
        raise FoldError(f"{where}: {len(missing)} subjects of the split are not there: {missing[:5]}")
    return np.array([row[subject] for subject in cohort.subjects], dtype=np.int64)


def save_cohort(folder: str | Path, cohort: Cohort) -> list[str]:
    """Write `cohort.json` and `cohort.npz` into a folder and return their names."""
    about: dict[str, Any] = {"subjects": cohort.subjects, "confounds": cohort.confound_names}
    arrays = {"confounds": cohort.confounds, "groups": cohort.groups}
    if cohort.harmonise is not None:
        sites, about["harmonise"] = split(cohort.harmonise)
        arrays |= sites
    return save(folder, {"cohort.json": about, "cohort.npz": arrays}, sort_keys=False)


def open_cohort(folder: str | Path) -> Cohort:
    """Read what `save_cohort` wrote."""
    about, arrays = load(folder, "cohort.json", "cohort.npz")
    harmonise = build(Harmonisation, about["harmonise"], dict(arrays)) if "harmonise" in about else None
    return Cohort(tuple(about["subjects"]), arrays["confounds"], tuple(about["confounds"]), arrays["groups"], harmonise)


def save_target(folder: str | Path, name: str, task: str, values: npt.ArrayLike) -> list[str]:
    """Write one target of the cohort's subjects, `target.json` and `target.npy`, and return their names."""
    about = {"name": name, "task": task}
    return save(folder, {"target.json": about, "target.npy": np.asarray(values, dtype=np.float64)}, indent=None)


def open_targets(folders: Iterable[str | Path], cohort: Cohort, only: Collection[str] | None = None) -> Targets:
    """Read what `save_target` wrote into several folders.

    Parameters
    ----------
    only : collection of str, optional
        Leave out all other targets.

    Raises
    ------
    FoldError
        A target is not of as many subjects as the cohort, or two folders hold the same one.
    """
    names, tasks, columns = [], [], []
    for folder in folders:
        (about,) = load(folder, "target.json")
        if only is not None and about["name"] not in only:
            continue
        (values,) = load(folder, "target.npy")
        n_subjects = len(cohort.subjects)
        if values.shape != (n_subjects,):
            raise FoldError(f"{folder}: target {about['name']!r} has shape {values.shape}, not ({n_subjects},)")
        if about["name"] in names:
            raise FoldError(f"{folder}: target {about['name']!r} comes twice")
        names.append(about["name"])
        tasks.append(about["task"])
        columns.append(values)
    return Targets(np.column_stack(columns), tuple(names), tuple(tasks))
