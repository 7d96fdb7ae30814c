"""Importance as a capsule: what it is written from, and the work that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.grid.engines.capsule_chosen import pack_chosen, unpack_chosen
from cortax.grid.engines.capsule_problem import Work, pack_problem, unpack_problem
from cortax.importance.cells import importance_of_chosen, importance_of_kept
from cortax.importance.store import write_importance
from cortax.search.cells import Batch, Problem
from cortax.search.evaluations import Evaluation
from cortax.search.store import StoredSearch

__all__ = ["make_of_chosen", "make_of_kept", "write_chosen_capsule", "write_kept_capsule"]

_KEPT = ("chosen", "coefficients", "confound_coefficients", "intercepts")


def write_kept_capsule(
    folder: Path,
    problem: Problem,
    batches: Sequence[Batch],
    found: Evaluation,
    n_repeats: int,
    *,
    first: Iterable[str] = (),
) -> Ticket:
    """Write what workers need to look at the linear models that an evaluation kept; see `capsule_search`."""
    arrays, about = pack_problem(problem, batches, {})
    arrays |= {name: getattr(found, name) for name in _KEPT}
    about |= {"failures": list(found.failures), "n_repeats": n_repeats}
    return write_capsule(folder, make=f"{__name__}:make_of_kept", arrays=arrays, about=about, first=first)


def make_of_kept(capsule: Capsule) -> Work:
    """Return the importance of a batch by its number."""
    problem, batches, _ = unpack_problem(capsule)
    kept: dict[str, Any] = {name: np.asarray(capsule.arrays[name]) for name in _KEPT}
    nothing = np.zeros((0, 0, 0))
    others: dict[str, Any] = dict.fromkeys(("predictions", "labels", "train_rows", "not_converged", "seconds"), nothing)
    found = Evaluation(**kept, **others, failures=tuple(capsule.about["failures"]))

    def work(number: int) -> list[bytes]:
        batch = batches[number]
        done = importance_of_kept(problem, batch, found, n_repeats=capsule.about["n_repeats"])
        return [write_importance(done[target, batch.outer]) for target in batch.targets]

    return work


def write_chosen_capsule(
    folder: Path,
    problem: Problem,
    batches: Sequence[Batch],
    estimators: Mapping[str, str],
    search: StoredSearch,
    choose: str,
    n_repeats: int,
    *,
    first: Iterable[str] = (),
) -> Ticket:
    """Write what workers need to refit what a search chose and look at that; see `capsule_search`."""
    arrays, about = pack_chosen(problem, batches, estimators, search, choose)
    about |= {"n_repeats": n_repeats}
    return write_capsule(folder, make=f"{__name__}:make_of_chosen", arrays=arrays, about=about, first=first)


def make_of_chosen(capsule: Capsule) -> Work:
    """Return the importance of a batch by its number."""
    chosen = unpack_chosen(capsule)

    def work(number: int) -> list[bytes]:
        batch = chosen.batches[number]
        done = importance_of_chosen(
            chosen.problem, batch, chosen.pipeline, **chosen.given(batch), n_repeats=capsule.about["n_repeats"]
        )
        return [write_importance(done[target, batch.outer]) for target in batch.targets]

    return work
