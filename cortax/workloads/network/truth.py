"""How well a network agrees with known links: AUROC and AUPR by the convention of the DREAM challenges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from cortax.data.textfiles import read_rows
from cortax.errors import InputError

__all__ = [
    "Candidates",
    "GoldStandard",
    "NetworkScores",
    "find_candidates",
    "network_curves",
    "network_scores",
    "read_gold_standard",
]

Floats = npt.NDArray[np.float64]

_SIDES = ("regulator", "target")

# First rows that are no link, in small letters.
_HEADERS = {
    ("source", "target"), ("regulator", "target"), ("tf", "target"), ("cause", "effect"), ("from", "to"),
    ("gene1", "gene2"), ("tf", "gene"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class GoldStandard:
    """Known links.

    Attributes
    ----------
    links : frozenset of (regulator, target)
        Directed, without links of a gene to itself.
    regulators, targets : frozenset of str
        The genes that the gold standard knows of. Where the file lists what is no link as well, those of its first
        and of its second column; else every gene that is named is both.
    n_self : int
        Links of a gene to itself that the file names; they are never counted.
    """

    links: frozenset[tuple[str, str]]
    regulators: frozenset[str]
    targets: frozenset[str]
    n_self: int = 0


@dataclass(frozen=True)
class NetworkScores:
    """Agreement of a ranked list with known links.

    Attributes
    ----------
    auroc, aupr : float
        scikit-learn's `roc_auc_score` and `average_precision_score`; NaN where there is no true link or no other.
    auroc_of_chance, aupr_of_chance : float
        What a random order has on average: 0.5, and the share of true links.
    n_candidates, n_true : int
        Links that are ranked, and those of them that are known.
    n_unranked : int
        Candidates that the list lacks (or that have no importance): they come last, all at one rank.
    n_outside : int
        Genes (regulators and targets together) that the gold standard does not know; their links are left out.
    """

    auroc: float
    aupr: float
    auroc_of_chance: float
    aupr_of_chance: float
    n_candidates: int
    n_true: int
    n_unranked: int
    n_outside: int


def read_gold_standard(path: Path | str) -> GoldStandard:
    """Read known links from a table of two or three columns: regulator, target and, if there is a third, 0 or 1.

    `path`: cells apart by commas in .csv, else by tabs. A first row that names the columns (such as source and target,
    regulator and target, cause and effect) is allowed and not needed. Raises InputError: whatever
    `cortax.data.textfiles` finds wrong, a row of other length or with an empty name, a third cell that is not 0 or 1, a
    link that is given twice, or no true link.
    """
    path = Path(path)
    numbered = read_rows(path, "," if path.suffix.lower() == ".csv" else "\t")
    if numbered and tuple(cell.lower() for cell in numbered[0][1][:2]) in _HEADERS:
        del numbered[0]
    told = {}
    for line, row in numbered:
        link, true = _link(path, line, row, len(numbered[0][1]))
        if link in told:
            raise InputError(f"{path}: line {line}: the link {link[0]!r} -> {link[1]!r} was given before")
        told[link] = true
    return _gold(path, told, listed=any(not true for true in told.values()))


def _link(path: Path, line: int, row: Sequence[str], n_cells: int) -> tuple[tuple[str, str], bool]:
    if len(row) != n_cells or n_cells not in (2, 3):
        raise InputError(f"{path}: line {line}: two or three cells are needed, as many in all rows; found {len(row)}")
    if not (row[0] and row[1]):
        raise InputError(f"{path}: line {line}: a regulator and a target are needed, found {row[:2]}")
    if n_cells == 3 and row[2] not in ("0", "1"):
        raise InputError(f"{path}: line {line}: the third cell must be 0 or 1, found {row[2]!r}")
    return (row[0], row[1]), n_cells == 2 or row[2] == "1"


def _gold(path: Path, told: Mapping[tuple[str, str], bool], *, listed: bool) -> GoldStandard:
    links = frozenset(link for link, true in told.items() if true and link[0] != link[1])
    if not links:
        raise InputError(f"{path}: no true link between two genes")
    regulators, targets = ({link[side] for link in told} for side in (0, 1))
    if not listed:
        regulators = targets = regulators | targets
    n_self = sum(true and link[0] == link[1] for link, true in told.items())
    return GoldStandard(links, frozenset(regulators), frozenset(targets), n_self)


@dataclass(frozen=True, eq=False)
class Candidates:
    """All pairs that could be a link and that the gold standard can tell about.

    Attributes
    ----------
    true : bool array of shape (n_candidates,)
        Whether each is a link of the gold standard.
    importance : float64 array of shape (n_candidates,)
        NaN of links that are not listed.
    n_outside : int
        See `NetworkScores`.
    """

    true: npt.NDArray[np.bool_]
    importance: Floats
    n_outside: int

    @property
    def ranked(self) -> Floats:
        """Importances, those of links that are not listed below all others and equal."""
        return np.where(np.isnan(self.importance), np.nanmin(self.importance, initial=0.0) - 1.0, self.importance)

    @property
    def both(self) -> bool:
        """Whether some are true and some are not: else there is nothing to tell apart."""
        return bool(0 < self.true.sum() < len(self.true))


def find_candidates(
    links: pd.DataFrame, gold: GoldStandard, *, regulators: Iterable[str], targets: Iterable[str]
) -> Candidates:
    """Find what a list of links is scored on.

    Candidates are all pairs of a regulator and a target that both the study and the gold standard know, without
    links of a gene to itself (Marbach et al. 2012, Nat Methods 9:796).

    `links`: in any order; it may be cut off. Links that are no candidates are left out. `regulators` and `targets`: of
    the study: what could have been a link. Raises InputError: a link occurs twice, or has NaN for importance; or there
    is no candidate.
    """
    study = sorted(set(regulators)), sorted(set(targets))
    known = [sorted(set(study[0]) & gold.regulators), sorted(set(study[1]) & gold.targets)]
    rows, columns = (np.array(names, dtype=object) for names in known)
    candidate = (rows[:, None] != columns).astype(bool)
    if not candidate.any():
        raise InputError("network scores: no regulator and target of the study are known to the gold standard")
    importance = _matrix(links, known)
    truth = np.zeros(candidate.shape, dtype=bool)
    place = [{name: i for i, name in enumerate(names)} for names in known]
    for a, b in gold.links:
        if a in place[0] and b in place[1]:
            truth[place[0][a], place[1][b]] = True
    n_outside = len((set(study[0]) - gold.regulators) | (set(study[1]) - gold.targets))
    return Candidates(truth[candidate], importance[candidate], n_outside)


def network_scores(candidates: Candidates) -> NetworkScores:
    """Score a network.

    Equal importances share a rank: in the AUROC a pair of them counts half, in the AUPR they are one threshold. DREAM's
    own scripts interpolate between points of the precision-recall curve; average precision, a sum of steps, is a little
    lower where points are far apart.
    """
    true, ranked, both = candidates.true, candidates.ranked, candidates.both
    return NetworkScores(
        auroc=float(roc_auc_score(true, ranked)) if both else float("nan"),
        aupr=float(average_precision_score(true, ranked)) if both else float("nan"),
        auroc_of_chance=0.5,
        aupr_of_chance=float(true.mean()),
        n_candidates=len(true),
        n_true=int(true.sum()),
        n_unranked=int(np.isnan(candidates.importance).sum()),
        n_outside=candidates.n_outside,
    )


def network_curves(candidates: Candidates, n_most: int = 500) -> pd.DataFrame:
    """Trace the curves whose areas are the scores of a network.

    `n_most`: points of a curve, at most. What is left out lies between points that are close to each other along the
    curve. Returns DataFrame: curve ("roc": false and true positive rates; "precision-recall": recall and precision), x
    and y, by x. The area below straight lines between the points of "roc" is the AUROC. That of "precision-recall" is a
    sum of steps, each as high as its right end: the AUPR. Without rows where no candidate is true, or all are.
    """
    if not candidates.both:
        return pd.DataFrame({"curve": np.array([], dtype=object), "x": np.empty(0), "y": np.empty(0)})
    wrong, right, _ = roc_curve(candidates.true, candidates.ranked)
    precision, recall, _ = precision_recall_curve(candidates.true, candidates.ranked, drop_intermediate=True)
    points = {"roc": (wrong, right), "precision-recall": (recall[::-1], precision[::-1])}
    return pd.concat(
        [pd.DataFrame({"curve": name, **_thinned(x, y, n_most)}) for name, (x, y) in points.items()], ignore_index=True
    )


def _thinned(x: Floats, y: Floats, n_most: int) -> dict[str, Floats]:
    """Keep points that are about as far from each other along the curve; the first and the last are among them."""
    kept = np.arange(len(x))
    if len(x) > n_most:
        length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        kept = np.unique(np.searchsorted(length, np.linspace(0.0, length[-1], n_most)))
    return {"x": x[kept], "y": y[kept]}


def _matrix(links: pd.DataFrame, known: Sequence[Sequence[str]]) -> npt.NDArray[np.float64]:
    """Return importances of shape (n_regulators, n_targets); NaN for links that are not listed."""
    rows, columns = (
        pd.Index(names).get_indexer(pd.Index(links[key])) for names, key in zip(known, _SIDES, strict=True)
    )
    values = links["importance"].to_numpy(dtype=np.float64)
    if np.isnan(values).any():
        raise InputError("network scores: a link has no importance (NaN)")
    if links.duplicated(list(_SIDES)).any():
        first = links[links.duplicated(list(_SIDES))].iloc[0]
        raise InputError(f"network scores: the link {first['regulator']!r} -> {first['target']!r} is listed twice")
    found = np.full((len(known[0]), len(known[1])), np.nan)
    inside = (rows >= 0) & (columns >= 0)
    found[rows[inside], columns[inside]] = values[inside]
    return found
