"""Which models are compared with which: rivals share a parcellation or a pipeline."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from cortax.learning.arrays import Floats, Ints

__all__ = ["KINDS", "RULES", "Rivals", "best_pairs", "count_pairs", "find_rivals", "fixed_pairs"]

KINDS = ("pipelines", "parcellations")
RULES = ("all", "best", "reference")


@dataclass(frozen=True)
class Rivals:
    """Models that differ in one thing.

    Attributes
    ----------
    kind : str
        What they differ in, one of `KINDS`.
    within : str
        What they share: a parcellation or a pipeline.
    names : tuple of str
        Of the pipelines or parcellations, sorted.
    places : tuple of int
        Where each of them is among all models.
    """

    kind: str
    within: str
    names: tuple[str, ...]
    places: tuple[int, ...]


def find_rivals(models: Sequence[tuple[str, str]], rule: str, references: Collection[str]) -> list[Rivals]:
    """Group models, each a parcellation and a pipeline; those without a rival or a reference are in no group."""
    found = []
    for shared, kind in enumerate(KINDS):
        for within in sorted({model[shared] for model in models}):
            members = sorted(
                (model[1 - shared], place) for place, model in enumerate(models) if model[shared] == within
            )
            names = tuple(name for name, _ in members)
            if len(names) > 1 and (rule != "reference" or set(names) & set(references)):
                found.append(Rivals(kind, within, names, tuple(place for _, place in members)))
    return found


def fixed_pairs(names: Sequence[str], rule: str, references: Collection[str]) -> tuple[Ints, Ints]:
    """Pairs that are the same for every target: all, or each with the references; numbers of a and of b."""
    pairs = list(itertools.combinations(range(len(names)), 2))
    if rule == "reference":
        known = [name in references for name in names]
        # The reference comes second: a difference says what the other gains. Two references are a pair, once.
        pairs = [(a, b) if known[b] else (b, a) for a, b in pairs if known[a] or known[b]]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def best_pairs(means: Floats) -> tuple[Ints, Ints]:
    """Each model with the best of its row; numbers of a and of b, each of shape (n_models - 1, n_rows).

    Parameters
    ----------
    means : float64 array of shape (n_models, n_rows)
        Greater is better; NaN is never the best, unless there is nothing else.
    """
    n_models, n_rows = means.shape
    best = np.where(np.isnan(means), -np.inf, means).argmax(axis=0)
    others = np.array([[m for m in range(n_models) if m != b] for b in best], dtype=np.int64).reshape(n_rows, -1).T
    return others, np.broadcast_to(best, others.shape)


def count_pairs(models: Sequence[tuple[str, str]], rule: str, references: Collection[str]) -> int:
    """Return how many pairs of models a rule makes, for each target and metric."""
    count = 0
    for rivals in find_rivals(models, rule, references):
        n = len(rivals.names)
        left = n - sum(name in references for name in rivals.names)
        count += {"all": n * (n - 1) // 2, "best": n - 1, "reference": (n * (n - 1) - left * (left - 1)) // 2}[rule]
    return count
