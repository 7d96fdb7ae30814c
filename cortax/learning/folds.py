"""Outer and inner cross-validation: made once, the same for every parcellation, pipeline and target."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, StratifiedGroupKFold

from cortax.errors import FoldError, choices
from cortax.learning.arrays import Bools, Ints
from cortax.learning.classes import check_codes, count_classes
from cortax.store import build, load, save, split

__all__ = [
    "SCHEMES",
    "Folds",
    "check_folds",
    "check_targets",
    "fold_parts",
    "make_folds",
    "open_folds",
    "save_folds",
]

SCHEMES = ("group-kfold", "leave-one-site-out")


@dataclass(frozen=True, eq=False)
class Folds:
    """Who is trained on, validated on and tested on.

    Attributes
    ----------
    test : bool array of shape (n_outer, n_subjects)
        The rest is the outer training part.
    valid : bool array of shape (n_outer, n_inner, n_subjects)
        The rest of the outer training part is the inner training part. Over the inner folds, every
        subject of an outer training part is validated exactly once.
    repeat : int array of shape (n_outer,)
        Every subject is tested exactly once a repeat.
    """

    test: Bools
    valid: Bools
    repeat: Ints

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return int(self.test.shape[1])

    @property
    def n_outer(self) -> int:
        """Number of outer folds, over all repeats."""
        return int(self.valid.shape[0])

    @property
    def n_inner(self) -> int:
        """Number of inner folds of each outer fold."""
        return int(self.valid.shape[1])


def make_folds(
    groups: npt.ArrayLike,
    *,
    n_outer: int = 5,
    n_inner: int = 3,
    n_repeats: int = 1,
    scheme: str = "group-kfold",
    strata: npt.ArrayLike | None = None,
    n_bins: int = 5,
    sites: npt.ArrayLike | None = None,
    seed: int,
) -> Folds:
    """Split subjects into outer and inner folds that never divide a group.

    A subject's fold depends on the set of (group, stratum, site) values and the seed, not on the order of
    the subjects.

    Parameters
    ----------
    groups : array of shape (n_subjects,)
        Family, or whatever must not be on both sides of a split. No missing values.
    n_outer, n_inner, n_repeats : int
        `leave-one-site-out` has one outer fold a site and takes no notice of `n_outer`.
    scheme : {"group-kfold", "leave-one-site-out"}
        Leaving a site out leaves whole sites out in the inner folds too, so that the search answers the
        same question as the test.
    strata : array of shape (n_subjects,), optional
        Numbers with more than `n_bins` values are cut at their quantiles; missing values are a stratum of
        their own. Strata are balanced as far as whole groups allow, which `check_targets` then checks.
    sites : array of shape (n_subjects,), optional
        Needed by `leave-one-site-out`.
    seed : int
        Not negative.

    Raises
    ------
    FoldError
        There are fewer groups (or sites) than folds, a group spans two sites, or an argument is not
        allowed.
    """
    groups = _labels(groups, "groups")
    if scheme not in SCHEMES:
        raise FoldError(f"scheme: {choices(scheme, SCHEMES)}")
    numbers = {"n_outer": n_outer, "n_inner": n_inner, "n_repeats": n_repeats, "n_bins": n_bins, "seed": seed}
    lowest = {"n_repeats": 1, "seed": 0}
    for name, number in numbers.items():
        if number < lowest.get(name, 2):
            raise FoldError(f"{name} must be at least {lowest.get(name, 2)}; got {number}")
    codes = None if strata is None else _stratum_codes(strata, n_bins, len(groups))
    units = groups
    if scheme == "leave-one-site-out":
        if sites is None or codes is not None or n_repeats != 1:
            raise FoldError("leave-one-site-out needs sites, takes no strata, and has n_repeats = 1")
        units = _labels(sites, "sites", len(groups))
        _check_nested(groups, units)
    # Whatever the splitters do with the order of rows, it is now that of the content.
    order = np.lexsort((units, np.zeros(len(units), int) if codes is None else codes, groups))
    test: list[Bools] = []
    valid: list[Bools] = []
    repeat: list[int] = []
    for r in range(n_repeats):
        if scheme == "leave-one-site-out":
            outer = _leave_out(units)
        else:
            outer = _split(units, codes, order, n_outer, "outer", (seed, r, 0))
        for k, part in enumerate(outer):
            train = order[~part[order]]
            where = f"inner folds of outer fold {len(test)}"
            test.append(part)
            valid.append(_split(units, codes, train, n_inner, where, (seed, r, k + 1)))
            repeat.append(r)
    folds = Folds(np.array(test), np.array(valid), np.array(repeat, dtype=np.int64))
    check_folds(folds, groups)
    return folds


def _labels(values: npt.ArrayLike, name: str, n_subjects: int | None = None) -> Ints:
    """Codes of labels, numbered in the order of the sorted labels."""
    array = np.asarray(values)
    if array.ndim != 1 or len(array) != (n_subjects or len(array)):
        raise FoldError(f"{name} must hold one value a subject; got shape {array.shape}")
    missing = _missing(array)
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        raise FoldError(f"{name}: {int(missing.sum())} subjects have no value (the first is row {first})")
    # As text where the types are mixed: numpy cannot sort those.
    array = array.astype(str) if array.dtype == object else array
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _missing(array: npt.NDArray[Any]) -> Bools:
    if array.dtype == object:
        return np.array([value is None or value != value for value in array], dtype=bool)
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), bool)


def _stratum_codes(strata: npt.ArrayLike, n_bins: int, n_subjects: int) -> Ints:
    array = np.asarray(strata)
    if array.ndim != 1 or len(array) != n_subjects:
        raise FoldError(f"strata must hold one value a subject; got shape {array.shape}, {n_subjects} subjects")
    known = ~_missing(array)
    codes = np.full(n_subjects, -1, dtype=np.int64)
    values = array[known]
    if array.dtype.kind in "fiu" and len(np.unique(values)) > n_bins:
        edges = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1])
        codes[known] = np.searchsorted(edges, values, side="right")
    else:
        codes[known] = _labels(values, "strata")
    return codes


def _check_nested(groups: Ints, sites: Ints) -> None:
    pairs = np.unique(np.column_stack([groups, sites]), axis=0)
    group, count = np.unique(pairs[:, 0], return_counts=True)
    if (count > 1).any():
        row = int(np.flatnonzero(groups == group[count > 1][0])[0])
        raise FoldError(
            f"{int((count > 1).sum())} groups span two sites or more (the first is the group of row {row}): "
            "leaving a site out would put a group on both sides"
        )


def _leave_out(sites: Ints) -> Bools:
    n_sites = len(np.unique(sites))
    if n_sites < 2:
        raise FoldError(f"leave-one-site-out needs at least 2 sites; got {n_sites}")
    return _masks(LeaveOneGroupOut().split(sites, groups=sites), np.arange(len(sites)), len(sites))


def _split(units: Ints, codes: Ints | None, rows: Ints, n_splits: int, where: str, key: tuple[int, int, int]) -> Bools:
    """Masks of shape (n_splits, n_subjects) of the held-out parts of `rows`."""
    n_units = len(np.unique(units[rows]))
    if n_units < n_splits:
        raise FoldError(f"{where}: {n_splits} folds need at least {n_splits} groups; there are {n_units}")
    state = int(np.random.SeedSequence(key).generate_state(1)[0])
    if codes is None:
        splits = GroupKFold(n_splits, shuffle=True, random_state=state).split(rows, groups=units[rows])
        return _masks(splits, rows, len(units))
    stratified = StratifiedGroupKFold(n_splits, shuffle=True, random_state=state)
    with warnings.catch_warnings():
        # Small strata are spread as far as they go: `make_folds` says so, `check_targets` is the guard.
        warnings.filterwarnings("ignore", message="The least populated class")
        try:
            return _masks(stratified.split(rows, codes[rows], groups=units[rows]), rows, len(units))
        except ValueError as error:
            raise FoldError(f"{where}: {n_splits} folds: strata are too small: {error}") from error


def _masks(splits: Iterator[tuple[Any, Any]], rows: Ints, n_subjects: int) -> Bools:
    masks = []
    for _, held_out in splits:
        mask = np.zeros(n_subjects, dtype=bool)
        mask[rows[held_out]] = True
        masks.append(mask)
    return np.array(masks)


def check_folds(folds: Folds, groups: npt.ArrayLike) -> None:
    """Prove that the folds are what they claim to be.

    Parameters
    ----------
    groups : array of shape (n_subjects,)

    Raises
    ------
    FoldError
        A group is on both sides of a split, a part is empty, a subject is not tested exactly once a repeat
        or not validated exactly once an outer fold, or shapes disagree.
    """
    codes = _labels(groups, "groups")
    n_outer, n_subjects = folds.test.shape
    if folds.valid.shape[::2] != (n_outer, n_subjects) or folds.repeat.shape != (n_outer,):
        raise FoldError(f"shapes disagree: {folds.test.shape}, {folds.valid.shape}, {folds.repeat.shape}")
    if len(codes) != n_subjects:
        raise FoldError(f"the folds are of {n_subjects} subjects, the groups of {len(codes)}")
    for r in np.unique(folds.repeat):
        _check_once(folds.test[folds.repeat == r], np.ones(n_subjects, bool), f"repeat {r}: tested")
    for k, (test, valid) in enumerate(zip(folds.test, folds.valid, strict=True)):
        _check_apart(~test, test, codes, f"outer fold {k}")
        _check_once(valid, ~test, f"outer fold {k}: validated")
        for i, held_out in enumerate(valid):
            _check_apart(~test & ~held_out, held_out, codes, f"outer fold {k}, inner fold {i}")


def _check_once(parts: Bools, whole: Bools, what: str) -> None:
    times = parts.sum(axis=0)
    wrong = np.flatnonzero(times != whole)
    if len(wrong):
        row = wrong[0]
        raise FoldError(f"{what} {times[row]} times instead of {int(whole[row])}: row {row} and {len(wrong) - 1} more")


def _check_apart(train: Bools, held_out: Bools, codes: Ints, where: str) -> None:
    if not train.any() or not held_out.any():
        raise FoldError(f"{where}: {int(train.sum())} subjects to train on, {int(held_out.sum())} held out")
    both = np.intersect1d(codes[train], codes[held_out])
    if len(both):
        rows = np.flatnonzero(codes == both[0]).tolist()
        raise FoldError(f"{where}: {len(both)} groups are on both sides, the first in rows {rows}")


def fold_parts(folds: Folds, y: npt.ArrayLike) -> Iterator[tuple[int, Ints, Ints, list[tuple[Ints, Ints]]]]:
    """Yield (outer, train, test, [(inner train, inner validation), ...]) as row numbers.

    Parameters
    ----------
    y : array of shape (n_subjects,), float
        One target. A subject whose value is NaN is in no part; the others stay where they are.
    """
    known = ~np.isnan(np.asarray(y, dtype=np.float64))
    for k, (test, valid) in enumerate(zip(folds.test, folds.valid, strict=True)):
        inner = [(np.flatnonzero(known & ~test & ~v), np.flatnonzero(known & v)) for v in valid]
        yield k, np.flatnonzero(known & ~test), np.flatnonzero(known & test), inner


def check_targets(
    folds: Folds,
    targets: npt.ArrayLike,
    *,
    kinds: Sequence[str],
    names: Sequence[str],
    classes: Mapping[str, Sequence[str]] | None = None,
    sites: npt.NDArray[np.str_] | None = None,
) -> None:
    """Prove that every target can be fitted and scored in every part of every fold.

    Parameters
    ----------
    targets : array or data frame of shape (n_subjects, n_targets), float
        NaN marks a missing value; classes are 0, 1, 2, ...
    kinds : sequence of {"regression", "classification", "ordinal"}
    classes : mapping of target to sequence of str, optional
        What the classes of a target are called; by default all numbers up to the largest.
    sites : array of shape (n_subjects,), optional
        Where sites are left out: the message names those of the part.

    Raises
    ------
    FoldError
        A part has no subject of a class, or only one distinct value. The message names all such targets,
        each with its first such part and the counts there.
    """
    values = np.asarray(targets, dtype=np.float64)
    if values.shape != (folds.n_subjects, len(names)) or len(kinds) != len(names):
        raise FoldError(
            f"targets have shape {values.shape}, {len(names)} names and {len(kinds)} kinds; "
            f"the folds are of {folds.n_subjects} subjects"
        )
    called = {**dict.fromkeys(names, ()), **(classes or {})}
    faults = [
        _target_fault(folds, y, kind, name, called[name], sites)
        for y, kind, name in zip(values.T, kinds, names, strict=True)
    ]
    if found := [fault for fault in faults if fault]:
        raise FoldError("\n".join(found))


def _target_fault(
    folds: Folds,
    y: npt.NDArray[np.float64],
    kind: str,
    name: str,
    classes: Sequence[str],
    sites: npt.NDArray[np.str_] | None,
) -> str:
    if kind not in ("regression", "classification", "ordinal"):
        return f"target {name!r}: kind: {choices(kind, ['classification', 'ordinal', 'regression'])}"
    if kind != "regression" and (wrong := check_codes(y)):
        return f"target {name!r}: {wrong}" + (f" ({list(classes)})" if classes else "")
    n_classes = max(len(classes), count_classes(kind, y))
    for outer, train, test, inner in fold_parts(folds, y):
        parts = [("train", train), ("test", test)]
        for i, (inner_train, inner_valid) in enumerate(inner):
            parts += [(f"inner fold {i} train", inner_train), (f"inner fold {i} validation", inner_valid)]
        for part, rows in parts:
            if len(np.unique(y[rows])) < max(2, n_classes):
                what = _counts(y[rows], n_classes, classes)
                whose = "" if sites is None else f" (sites {np.unique(sites[rows]).tolist()})"
                return f"target {name!r}, outer fold {outer}, {part}{whose}: {what}"
    return ""


def _counts(y: npt.NDArray[np.float64], n_classes: int, classes: Sequence[str]) -> str:
    """Say how many there are of each class; several by their names, those that lack somebody first."""
    if not n_classes:
        return f"{len(y)} subjects, all of one value"
    counts = np.bincount(y.astype(np.int64), minlength=n_classes)
    if n_classes == 2:
        return f"{counts[0]} of class 0, {counts[1]} of class 1"
    called = [repr(one) for one in classes] or [str(number) for number in range(n_classes)]
    return ", ".join(f"{counts[k]} of class {called[k]}" for k in np.argsort(counts, kind="stable"))


def save_folds(folder: str | Path, folds: Folds) -> Path:
    """Write `folds.npz` into a folder and return its path."""
    arrays, _ = split(folds)
    (name,) = save(folder, {"folds.npz": arrays})
    return Path(folder) / name


def open_folds(folder: str | Path) -> Folds:
    """Read what `save_folds` wrote.

    Raises ProjectError: the file is missing or is not what `save_folds` writes; the message names it.
    """
    return build(Folds, *load(folder, "folds.npz"))
