"""The subjects of a study: those in the phenotype table that also have maps or regions, in one fixed order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.errors import FoldError, InputError

__all__ = ["Cohort", "join_cohort", "open_cohort", "rows_of", "save_cohort"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Who is studied and what is predicted.

    Attributes
    ----------
    subjects : tuple of str
        Sorted.
    targets : float64 array of shape (n_subjects, n_targets)
        NaN where a target is missing; classes are 0 and 1.
    target_names, tasks : tuple of str
        A task is `regression` or `classification`.
    confounds : float64 array of shape (n_subjects, n_confounds)
    confound_names : tuple of str
    groups : str array of shape (n_subjects,)
        What must not be divided, such as families; each subject its own group where there are none.
    """

    subjects: tuple[str, ...]
    targets: Floats
    target_names: tuple[str, ...]
    tasks: tuple[str, ...]
    confounds: Floats
    confound_names: tuple[str, ...]
    groups: npt.NDArray[np.str_]


def join_cohort(
    phenotypes: pd.DataFrame,
    tasks: Mapping[str, str],
    confounds: Sequence[str],
    with_regions: Mapping[str, Sequence[str]],
) -> tuple[Cohort, pd.DataFrame]:
    """Keep the subjects that every source knows.

    Parameters
    ----------
    phenotypes : DataFrame
        Indexed by subject, with a column for each target and confound, and `group`.
    tasks : dict
        Target to task, in the order of the study.
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
        targets=table[list(tasks)].to_numpy(np.float64),
        target_names=tuple(tasks),
        tasks=tuple(tasks.values()),
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
    about = {
        "subjects": cohort.subjects,
        "targets": dict(zip(cohort.target_names, cohort.tasks, strict=True)),
        "confounds": cohort.confound_names,
    }
    (Path(folder) / "cohort.json").write_text(json.dumps(about, indent=1))
    np.savez(Path(folder) / "cohort.npz", targets=cohort.targets, confounds=cohort.confounds, groups=cohort.groups)
    return ["cohort.json", "cohort.npz"]


def open_cohort(folder: str | Path) -> Cohort:
    """Read what `save_cohort` wrote."""
    about = json.loads((Path(folder) / "cohort.json").read_text())
    with np.load(Path(folder) / "cohort.npz", allow_pickle=False) as stored:
        return Cohort(
            subjects=tuple(about["subjects"]),
            targets=stored["targets"],
            target_names=tuple(about["targets"]),
            tasks=tuple(about["targets"].values()),
            confounds=stored["confounds"],
            confound_names=tuple(about["confounds"]),
            groups=stored["groups"],
        )
