"""Who is studied, and who is tested on whom, in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.brain.data.phenotypes import read_groups, read_table
from cortax.errors import InputError, choices
from cortax.learning import folds as splitting
from cortax.learning.folds import Folds

__all__ = ["PeopleFolds", "make_folds", "read_phenotypes"]


def read_phenotypes(
    path: str | Path,
    *,
    id: str = "participant_id",  # noqa: A002 - as studies call it
    id_prefix: str = "",
    subjects: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a table of people: CSV, TSV or Parquet.

    Parameters
    ----------
    path : path
    id : str
        The column of identifiers, which stay text ("001" is not 1).
    id_prefix : str
        Taken off the front of identifiers that have it: "sub-".
    subjects : sequence of str, optional
        Keep those of them that the table has, in their order: `maps.subjects`, or `X.index`.

    Returns
    -------
    DataFrame
        Indexed by subject; n/a, NaN and empty cells are missing.

    Raises
    ------
    InputError
        The file is missing or damaged, lacks the column, an identifier is empty or comes twice, or none of the subjects
        is in it.

    Examples
    --------
    >>> maps = cortax.simulate("cohort", n_subjects=40, seed=1)
    5 left out: ...
    >>> people = cortax.read_phenotypes("cohort/participants.tsv", subjects=maps.subjects)
    >>> people.index[0] in maps.subjects, "family_id" in people.columns
    (True, True)
    """
    people = read_table(path, (id,), id_prefix=id_prefix)
    if subjects is None:
        return people
    kept = [subject for subject in subjects if subject in people.index]
    if not kept:
        raise InputError(f"{path}: has none of the subjects; its first are {list(people.index[:3])}, {subjects[:3]}")
    return people.loc[kept]


@dataclass(frozen=True, eq=False)
class PeopleFolds:
    """Folds of named people.

    Attributes
    ----------
    folds : Folds
        `test`, bool of shape (n_outer, n_subjects), and `valid`, bool of shape (n_outer, n_inner, n_subjects).
    groups : array of str, of shape (n_subjects,)
        What no fold divides.
    subjects : Index of length n_subjects
        The people, in the order of the folds' last axis.
    """

    folds: Folds
    groups: npt.NDArray[np.str_]
    subjects: pd.Index


# As many parameters as `[splits]` of a study has keys.
def make_folds(
    people: pd.DataFrame,
    *,
    outer: int = 5,
    inner: int = 3,
    repeats: int = 1,
    groups: str | None = None,
    stratify: str | None = None,
    seed: int = 0,
) -> PeopleFolds:
    """Split people into outer and inner folds that never divide a group.

    Parameters
    ----------
    people : DataFrame
        A row a person, indexed by subject.
    outer, inner, repeats : int
    groups : str, optional
        A column, such as that of families; by default everybody is a group.
    stratify : str, optional
        A column whose values are balanced between folds, as far as whole groups allow.
    seed : int
        The folds are those of a study with this seed.

    Returns
    -------
    PeopleFolds

    Raises
    ------
    FoldError
        There are fewer groups than folds, or a number is not allowed.
    InputError
        There is no such column, or somebody has no group.

    Examples
    --------
    >>> people = pd.DataFrame({"family_id": list("aabbccddeeff")}, index=[f"sub-{n}" for n in range(12)])
    >>> folds = cortax.make_folds(people, outer=3, inner=2, groups="family_id", seed=1)
    >>> folds.folds.test.shape, folds.folds.test.sum(axis=1)
    ((3, 12), array([4, 4, 4]))
    """
    units = people.index.astype(str) if groups is None else read_groups(people, groups)
    if stratify is not None and stratify not in people:
        raise InputError(f"stratify: no such column: {choices(stratify, map(str, people.columns))}")
    names = np.asarray(units, dtype=np.str_)
    folds = splitting.make_folds(
        names,
        n_outer=outer,
        n_inner=inner,
        n_repeats=repeats,
        strata=None if stratify is None else people[stratify].to_numpy(),
        seed=seed,
    )
    return PeopleFolds(folds, names, people.index)
