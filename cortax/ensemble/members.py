"""The members of an ensemble: models that were searched and evaluated, each of one parcellation and pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from cortax.ensemble.store_inner import StoredInner
from cortax.errors import SearchError
from cortax.search.store import StoredSearch
from cortax.search.store_evaluation import StoredEvaluation

__all__ = ["Member", "Part", "parts_by_member"]

Floats = npt.NDArray[np.float64]
Source = TypeVar("Source", StoredSearch, StoredInner)


@dataclass(frozen=True, eq=False)
class Part(Generic[Source]):
    """What one job found of some targets and outer folds of a member.

    Attributes
    ----------
    source : StoredSearch or StoredInner
    targets : tuple of str
        Names of its targets, in its order.
    take : tuple of str
        For which of them it answers.
    fold : int or None
        The one outer fold that it has, or None for all.
    """

    source: Source
    targets: tuple[str, ...]
    take: tuple[str, ...]
    fold: int | None


@dataclass(frozen=True, eq=False)
class Member:
    """One model of an ensemble.

    Attributes
    ----------
    name : str
        Parcellation and pipeline, such as `schaefer-400/ridge`.
    evaluation : StoredEvaluation
        Of all targets and outer folds.
    searched : tuple of Part
        Its searches; only looked at where members compete.
    inner : tuple of Part
        Its predictions within the outer training parts; only looked at where they are stacked.
    """

    name: str
    evaluation: StoredEvaluation
    searched: tuple[Part[StoredSearch], ...] = ()
    inner: tuple[Part[StoredInner], ...] = ()

    def tested(self, target: str, outer: int, repeat: int, rows: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return predictions and labels of test subjects, of shape (n_rows,) each.

        Raises
        ------
        SearchError
            A prediction is missing; the message says why, where that is known.
        """
        place, found = self._place(target, outer), self.evaluation.found
        predictions, labels = found.predictions[repeat, place, rows], found.labels[repeat, place, rows]
        if np.isnan(predictions).any():
            told = [f["message"] for f in found.failures if (f["target"], f["outer"]) == (place, outer)]
            raise self._lacks(target, outer, "no prediction", told)
        return predictions, labels

    def inner_score(self, target: str, outer: int) -> float:
        """Return the mean inner score of the chosen configuration.

        Raises
        ------
        SearchError
            There is none.
        """
        chosen = self.evaluation.found.chosen[self._place(target, outer), outer]
        for part in _holding(self.searched, target, outer):
            scores = part.source.scores[part.targets.index(target), outer, chosen]
            if chosen >= 0 and not np.isnan(scores).any():
                return float(scores.mean())
        raise self._lacks(target, outer, "no inner score")

    def inner_predictions(self, target: str, outer: int, rows: npt.NDArray[np.int64]) -> Floats:
        """Return out-of-fold predictions of outer training subjects, of shape (n_rows,).

        Raises
        ------
        SearchError
            One is missing.
        """
        told: Sequence[str] = []
        for part in _holding(self.inner, target, outer):
            found = part.source.of(part.targets.index(target), outer)[rows]
            if not np.isnan(found).any():
                return found
            told = part.source.why_not(part.targets.index(target), outer)
        raise self._lacks(target, outer, "no inner predictions", told)

    def _place(self, target: str, outer: int) -> int:
        if target not in self.evaluation.targets:
            raise self._lacks(target, outer, "no evaluation")
        return self.evaluation.targets.index(target)

    def _lacks(self, target: str, outer: int, what: str, why: Sequence[str] = ()) -> SearchError:
        reason = f" ({why[0]})" if why else ""
        return SearchError(f"target {target!r}, outer fold {outer}: {what} by the member {self.name}{reason}")


def _holding(parts: Sequence[Part[Source]], target: str, outer: int) -> list[Part[Source]]:
    return [part for part in parts if target in part.take and part.fold in (None, outer)]


def parts_by_member(
    sources: Sequence[Source], about: Sequence[Mapping[str, Any]], n_members: int
) -> list[tuple[Part[Source], ...]]:
    """Sort what jobs found by the member that it is of.

    Parameters
    ----------
    sources : sequence of StoredSearch or StoredInner
    about : sequence of mapping
        Of each: the number of its `member`, its `targets`, which of them to `take`, its `fold`.
    n_members : int
    """
    found: list[list[Part[Source]]] = [[] for _ in range(n_members)]
    for source, one in zip(sources, about, strict=True):
        found[one["member"]].append(Part(source, tuple(one["targets"]), tuple(one["take"]), one["fold"]))
    return [tuple(parts) for parts in found]
