"""Is one model better than another? Tests on scores by outer fold, and over targets.

Scores of outer folds are not independent: the folds' training sets share most of their subjects. A plain t-test takes
them for independent and rejects far too often, the more the cross-validation is repeated. Here the variance is
corrected for the overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.stats import false_discovery_control

from cortax.errors import SearchError, choices
from cortax.learning.arrays import Floats, Ints

__all__ = ["CORRECTIONS", "OverTargets", "adjust", "corrected_t", "fold_ratio", "friedman", "posterior", "wilcoxon"]

# A spread of the differences below this share of the largest is rounding.
_ROUNDING = 1e-12

Texts = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class CorrectedT:
    """Tests of differences; every array has the leading shape of the differences.

    Attributes
    ----------
    difference : float64 array
        Mean over folds.
    scale : float64 array
        Its corrected standard error; 0 where all folds have the same difference.
    t, p : float64 arrays
        Two-sided. NaN where they have no meaning, which `note` then says.
    n_folds : int array
        The folds that have a difference; one less are the degrees of freedom.
    note : str array
        Empty where there is nothing to say.
    """

    difference: Floats
    scale: Floats
    t: Floats
    p: Floats
    n_folds: Ints
    note: Texts


@dataclass(frozen=True, eq=False)
class Posterior:
    """Probabilities that a difference is below, within and above the region of practical equivalence."""

    left: Floats
    rope: Floats
    right: Floats


@dataclass(frozen=True)
class OverTargets:
    """A test over targets: how many there were, its statistic and p, and what is to be said of it."""

    n_targets: int
    statistic: float
    p: float
    note: str


def fold_ratio(tests: ArrayLike, y: ArrayLike) -> float:
    """Return the subjects that a fold tests on to those that it trains on, each averaged over folds.

    Parameters
    ----------
    tests : bool array of shape (n_folds, n_subjects)
    y : float array of shape (n_subjects,)
        NaN is in neither part.
    """
    known, tested = ~np.isnan(np.asarray(y, dtype=np.float64)), np.asarray(tests, dtype=bool)
    return float((tested & known).sum() / (~tested & known).sum())


def corrected_t(differences: ArrayLike, ratio: ArrayLike) -> CorrectedT:
    """Corrected resampled t-test (Nadeau & Bengio 2003; for repeated cross-validation Bouckaert & Frank 2004).

    t = mean / sqrt((1 / J + n_test / n_train) s^2), with J - 1 degrees of freedom and s^2 the variance of the J
    differences.

    Null: trained on n_train subjects of this population, both procedures score the same on average, over training
    sets and test subjects. Assumes: differences of folds are normal with one variance, and two of them correlate
    by n_test / (n_test + n_train), which is a heuristic. Procedures that hardly depend on who was in the training
    set correlate less, and are tested conservatively; very unstable ones may correlate more. Groups need no more
    than folds that never divide them.

    Parameters
    ----------
    differences : array of shape (..., n_folds), float64
        Over all repeats. NaN, a fold that one of the two has no score in, is left out.
    ratio : array that broadcasts to shape (...), float64
        Test subjects to training subjects.

    Returns
    -------
    CorrectedT
        Of models that are equal in every fold t is 0 and p is 1. With one fold, or with the same difference in all,
        there is no variance to test against: NaN.
    """
    found = np.asarray(differences, dtype=np.float64)
    there = ~np.isnan(found)
    n_folds = there.sum(axis=-1)
    mean = np.divide(np.where(there, found, 0).sum(axis=-1), n_folds, out=_nan(n_folds), where=n_folds > 0)
    deviations = np.where(there, found - mean[..., None], 0)
    largest = np.max(np.where(there, np.abs(found), 0), axis=-1, initial=0.0)
    deviations[np.abs(deviations) <= _ROUNDING * largest[..., None]] = 0
    squares = (deviations**2).sum(axis=-1)
    variance = np.divide(squares, n_folds - 1, out=_nan(n_folds), where=n_folds > 1)
    factor = np.divide(1.0, n_folds, out=_nan(n_folds), where=n_folds > 0) + np.asarray(ratio)
    scale = np.sqrt(factor * variance)
    t = np.divide(mean, scale, out=_nan(n_folds), where=scale > 0)
    equal = (scale == 0) & (mean == 0)
    t = np.where(equal, 0.0, t)
    p = np.where(equal, 1.0, 2 * stats.t.sf(np.abs(t), np.maximum(n_folds - 1, 1)))
    return CorrectedT(mean, scale, t, p, n_folds.astype(np.int64), _notes(n_folds, scale, equal))


def _nan(like: NDArray[np.generic]) -> Floats:
    return np.full(like.shape, np.nan)


def _notes(n_folds: Ints, scale: Floats, equal: NDArray[np.bool_]) -> Texts:
    return np.select(
        [n_folds == 0, n_folds == 1, equal, scale == 0],
        [
            "no fold has scores of both",
            "one fold: no variance to test against",
            "equal in every fold",
            "the same difference in every fold: no variance to test against",
        ],
        default="",
    )


def posterior(test: CorrectedT, rope: ArrayLike) -> Posterior:
    """Bayesian correlated t-test (Corani & Benavoli 2015; Benavoli et al. 2017).

    The difference's posterior is Student's t about its mean, with the scale and the degrees of freedom of
    `corrected_t`: the correlation n_test / (n_test + n_train) of the paper gives the same factor. Assumes what
    that test does, and the improper prior under which both agree.

    Parameters
    ----------
    rope : array that broadcasts to the shape of the test, float64
        Differences of at most this size make no difference in practice.

    Returns
    -------
    Posterior
        NaN with a single fold, or without any. All on one side where the folds do not differ.
    """
    size, mean = np.asarray(rope, dtype=np.float64), test.difference
    spread = np.where(test.scale > 0, test.scale, np.nan)
    freedom = np.maximum(test.n_folds - 1, 1)
    left = stats.t.cdf((-size - mean) / spread, freedom)
    right = stats.t.sf((size - mean) / spread, freedom)
    # Without any spread the posterior is a point.
    point = test.scale == 0
    left = np.where(point, np.where(mean < -size, 1.0, 0.0), left)
    right = np.where(point, np.where(mean > size, 1.0, 0.0), right)
    return Posterior(left, np.clip(1 - left - right, 0, 1), right)


def wilcoxon(differences: ArrayLike) -> OverTargets:
    """Signed-rank test of two models over targets (Wilcoxon 1945; Demsar 2006), two-sided.

    Null: over the targets that these stand for, differences lie symmetrically about 0. Assumes that the targets are
    independent draws; those of one cohort share subjects, folds and often causes, so read it as a summary. Needs
    scores without units: it ranks the sizes of differences between targets.

    Parameters
    ----------
    differences : array of shape (n_targets,), float64
        NaN is left out. Zeros are dropped, as Wilcoxon did.
    """
    found = np.asarray(differences, dtype=np.float64)
    found = found[~np.isnan(found)]
    if len(found) < 2:
        return OverTargets(len(found), float("nan"), float("nan"), "fewer than 2 targets")
    if not found.any():
        return OverTargets(len(found), 0.0, 1.0, "equal on every target")
    test = stats.wilcoxon(found[found != 0])
    return OverTargets(len(found), float(test.statistic), float(test.pvalue), "")


def friedman(scores: ArrayLike) -> OverTargets:
    """Friedman's test of three models or more over targets (Friedman 1937; Demsar 2006).

    Null: within a target, every ranking of the models is as likely. Assumes independent targets, see `wilcoxon`; scores
    may have any units, as only ranks within a target count.

    Parameters
    ----------
    scores : array of shape (n_models, n_targets), float64
        A target that a model has no score of is left out.
    """
    found = np.asarray(scores, dtype=np.float64)
    found = found[:, ~np.isnan(found).any(axis=0)]
    n_models, n_targets = found.shape
    if n_models < 3 or n_targets < 2:
        return OverTargets(n_targets, float("nan"), float("nan"), "needs 3 models and 2 targets")
    if (found == found[0]).all():
        return OverTargets(n_targets, 0.0, 1.0, "equal on every target")
    test = stats.friedmanchisquare(*found)
    return OverTargets(n_targets, float(test.statistic), float(test.pvalue), "")


def _benjamini_hochberg(p: Floats) -> Floats:
    return np.asarray(false_discovery_control(p, method="bh"), dtype=np.float64)


def _benjamini_yekutieli(p: Floats) -> Floats:
    return np.asarray(false_discovery_control(p, method="by"), dtype=np.float64)


def _holm(p: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


CORRECTIONS: dict[str, Callable[[Floats], Floats]] = {
    "bh": _benjamini_hochberg,
    "by": _benjamini_yekutieli,
    "holm": _holm,
}


def adjust(p: ArrayLike, families: Sequence[str], correction: str) -> Floats:
    """Adjust p-values, each within its family of tests.

    Rejecting what is at most 0.05 keeps, within every family, with "bh" and "by" the expected share of false
    discoveries below 5 % (Benjamini & Hochberg 1995, valid for tests that are independent or depend positively;
    Benjamini & Yekutieli 2001, valid however they depend, and stricter), with "holm" the probability of any false
    discovery (Holm 1979, valid however they depend).

    Parameters
    ----------
    p : array of shape (n_tests,), float64
        NaN is no test: it stays NaN and does not count.
    families : sequence of str, of length n_tests
    correction : {"bh", "by", "holm"}

    Returns
    -------
    float64 array of shape (n_tests,)

    Raises
    ------
    SearchError
        An unknown correction.
    """
    if correction not in CORRECTIONS:
        raise SearchError(f"correction of p-values: {choices(correction, CORRECTIONS)}")
    values, names = np.asarray(p, dtype=np.float64), np.asarray(families, dtype=np.str_)
    adjusted = np.full(values.shape, np.nan)
    for family in np.unique(names):
        tests = (names == family) & ~np.isnan(values)
        if tests.any():
            adjusted[tests] = CORRECTIONS[correction](values[tests])
    return adjusted
