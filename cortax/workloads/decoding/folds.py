"""Folds of trials: stratified by class, and never dividing a run or block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedKFold

from cortax.errors import FoldError
from cortax.learning.arrays import Bools, Ints
from cortax.learning.folds import Folds, check_folds, check_targets, make_folds
from cortax.learning.search.spaces import content_seed

__all__ = ["class_codes", "trial_folds"]


def class_codes(labels: Sequence[str]) -> tuple[Ints, list[str]]:
    """Return the number of each label's class, int of shape (n_trials,), and the classes, sorted."""
    classes, codes = np.unique(np.asarray(labels), return_inverse=True)
    return codes.ravel().astype(np.int64), classes.tolist()


def trial_folds(
    labels: Sequence[str], groups: Sequence[str], *, n_outer: int, n_inner: int, seed: int, subject: str
) -> Folds:
    """Split the trials of a subject into outer and inner folds.

    Parameters
    ----------
    labels : sequence of str, of length n_trials
    groups : sequence of str, of length n_trials
        Runs or blocks, which stay whole; empty if every trial stands for itself.
    n_outer, n_inner : int
    seed : int
        The study's; a subject's own seed comes of it and the subject's name.
    subject : str

    Raises
    ------
    FoldError
        A class has fewer trials than there are folds, or there are fewer groups; or a part of a fold lacks a class.
    """
    codes, classes = class_codes(labels)
    own = content_seed("decoding folds", seed, subject)
    if groups:
        folds = make_folds(np.asarray(groups), n_outer=n_outer, n_inner=n_inner, strata=codes, seed=own)
    else:
        counts = np.bincount(codes)
        fewest = int(counts.min())
        if fewest < n_outer or fewest - -(-fewest // n_outer) < n_inner:
            raise FoldError(
                f"subject {subject!r}: class {classes[int(counts.argmin())]!r} has {fewest} trials: too few for "
                f"search.n_outer = {n_outer} folds, and search.n_inner = {n_inner} folds of what is left of them"
            )
        folds = _stratified(codes, n_outer, n_inner, own)
    check_folds(folds, np.arange(len(codes)) if not groups else np.asarray(groups))
    kinds, of_classes = ["classification"], {"label": classes}
    check_targets(folds, codes[:, None].astype(float), kinds=kinds, names=["label"], classes=of_classes)
    return folds


def _stratified(codes: Ints, n_outer: int, n_inner: int, seed: int) -> Folds:
    """Stratified folds within stratified folds. Trials of their own need no search for groups, which takes a second."""

    def split(rows: Ints, n_folds: int, number: int) -> list[Bools]:
        state = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        parts = StratifiedKFold(n_folds, shuffle=True, random_state=state).split(rows, codes[rows])
        return [np.isin(np.arange(len(codes)), rows[held_out]) for _, held_out in parts]

    test = split(np.arange(len(codes)), n_outer, 0)
    valid = [split(np.flatnonzero(~part), n_inner, number) for number, part in enumerate(test, 1)]
    return Folds(np.array(test), np.array(valid), np.zeros(n_outer, dtype=np.int64))
