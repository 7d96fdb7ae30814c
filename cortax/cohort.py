"""The subjects of a study, in one fixed order, and their targets, each a file of its own.

A subject is in the phenotype table and in all sources of maps or regions. No target decides about that.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.errors import FoldError, InputError

__all__ = ["Cohort", "Targets", "join_cohort", "open_cohort", "open_targets", "rows_of", "save_cohort", "save_target"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Who is studied.

    Attributes
    ----------
    subjects : tuple of str
        Sorted.
    confounds : float64 array of shape (n_subjects, n_confounds)
    confound_names : tuple of str
    groups : str array of shape (n_subjects,)
        What must not be divided, such as families; each subject its own group where there are none.
    """

    subjects: tuple[str, ...]
    confounds: Floats
    confound_names: tuple[str, ...]
    groups: npt.NDArray[np.str_]


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
) -> tuple[Cohort, pd.DataFrame]:
    """Keep the subjects that every source knows.

    Parameters
    ----------
    phenotypes : DataFrame
        Indexed by subject, with a column for each confound, and `group`.
    confounds : sequence of str
        Columns of `phenotypes`.
    with_regions : dict
        For each source of maps or regions its subjects.

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
    known.append(("phenotype", set(phenotypes.index)))
    everyone = sorted(set().union(*(subjects for _, subjects in known)))
    lacking = {s: [source for source, subjects in known if s not in subjects] for s in everyone}
    kept = [subject for subject in everyone if not lacking[subject]]
    if not kept:
        examples = ", ".join(f"{source}: {sorted(subjects)[:3]}" for source, subjects in known)
        raise InputError(f"no subject is in all of the inputs; their first ids are {examples}")
    dropped = pd.DataFrame(
        [(s, f"not in {', '.join(sources)}") for s, sources in lacking.items() if sources],
        columns=["participant_id", "reason"],
    )
    table = phenotypes.loc[kept]
    cohort = Cohort(
        subjects=tuple(kept),
        confounds=table[list(confounds)].to_numpy(np.float64),
        confound_names=tuple(confounds),
        groups=table["group"].to_numpy(np.str_),
    )
    return cohort, dropped


def rows_of(cohort: Cohort, subjects: Sequence[str], where: str) -> npt.NDArray[np.int64]:
    """Return for each subject of the cohort its row among `subjects`.

    Raises
    ------
    FoldError
        Some are not there; the message names them and `where`.
    """
    row = {subject: number for number, subject in enumerate(subjects)}
    if missing := [subject for subject in cohort.subjects if subject not in row]:
        raise FoldError(f"{where}: {len(missing)} subjects of the split are not there: {missing[:5]}")
    return np.array([row[subject] for subject in cohort.subjects], dtype=np.int64)


def save_cohort(folder: str | Path, cohort: Cohort) -> list[str]:
    """Write `cohort.json` and `cohort.npz` into a folder and return their names."""
    about = {"subjects": cohort.subjects, "confounds": cohort.confound_names}
    (Path(folder) / "cohort.json").write_text(json.dumps(about, indent=1))
    np.savez(Path(folder) / "cohort.npz", confounds=cohort.confounds, groups=cohort.groups)
    return ["cohort.json", "cohort.npz"]


def open_cohort(folder: str | Path) -> Cohort:
    """Read what `save_cohort` wrote."""
    about = json.loads((Path(folder) / "cohort.json").read_text())
    with np.load(Path(folder) / "cohort.npz", allow_pickle=False) as stored:
        return Cohort(tuple(about["subjects"]), stored["confounds"], tuple(about["confounds"]), stored["groups"])


def save_target(folder: str | Path, name: str, task: str, values: npt.ArrayLike) -> list[str]:
    """Write one target of the cohort's subjects, `target.json` and `target.npy`, and return their names."""
    (Path(folder) / "target.json").write_text(json.dumps({"name": name, "task": task}))
    np.save(Path(folder) / "target.npy", np.asarray(values, dtype=np.float64))
    return ["target.json", "target.npy"]


def open_targets(folders: Iterable[str | Path], cohort: Cohort, only: Collection[str] | None = None) -> Targets:
    """Read what `save_target` wrote into several folders.

    Parameters
    ----------
    folders : iterable of path
    cohort : Cohort
    only : collection of str, optional
        Leave out all other targets.

    Raises
    ------
    FoldError
        A target is not of as many subjects as the cohort, or two folders hold the same one.
    """
    names, tasks, columns = [], [], []
    for folder in folders:
        about = json.loads((Path(folder) / "target.json").read_text())
        if only is not None and about["name"] not in only:
            continue
        values = np.load(Path(folder) / "target.npy", allow_pickle=False)
        n_subjects = len(cohort.subjects)
        if values.shape != (n_subjects,):
            raise FoldError(f"{folder}: target {about['name']!r} has shape {values.shape}, not ({n_subjects},)")
        if about["name"] in names:
            raise FoldError(f"{folder}: target {about['name']!r} comes twice")
        names.append(about["name"])
        tasks.append(about["task"])
        columns.append(values)
    return Targets(np.column_stack(columns), tuple(names), tuple(tasks))
