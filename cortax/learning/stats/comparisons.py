"""Is one model better than another? Tests of differences with their variance, and over targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.stats import false_discovery_control

from cortax.errors import SearchError, choices
from cortax.learning.arrays import Floats
from cortax.learning.intervals import Limits, free_scale

__all__ = ["CORRECTIONS", "OverTargets", "Paired", "adjust", "friedman", "paired_test", "posterior", "wilcoxon"]

Texts = NDArray[np.str_]

ONE_SPLIT = "one split: no p, as nothing tells what training adds (splits.n_repeats)"


@dataclass(frozen=True, eq=False)
class Paired:
    """Tests of differences; every array has their shape.

    Attributes
    ----------
    difference : float64 array
    free, scale : float64 arrays
        The difference on the free scale of its limits (`cortax.learning.intervals`), and its standard error there.
    freedom : float64 array
    t, p : float64 arrays
        Two-sided. NaN where they have no meaning, which `note` then says.
    note : str array
        Empty where there is nothing to say.
    """

    difference: Floats
    free: Floats
    scale: Floats
    freedom: Floats
    t: Floats
    p: Floats
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


def paired_test(
    difference: ArrayLike, variance: ArrayLike, n_groups: ArrayLike, limits: Limits, *, one_split: bool
) -> Paired:
    """Test whether two procedures differ: t = difference / standard error, on the free scale, n_groups - 1 df.

    Null: both procedures score the same on average, over samples of as many groups and over divisions into folds.
    Variance: of `paired_variance`, which holds who is tested and who is trained on. It is meant not to be too small,
    for stable and for unstable models: less than 5 % is rejected where models are stable, or flip from one answer to
    another.

    Parameters
    ----------
    difference, variance, n_groups : arrays of one shape
    limits : (float, float)
        Of the difference.
    one_split : bool
        Then the variance is a guess: there is a t, but no p.

    Returns
    -------
    Paired
        Of models that are equal in everything t is 0 and p is 1. Without a variance there is no test: NaN.
    """
    d, groups = np.asarray(difference, dtype=np.float64), np.asarray(n_groups, dtype=np.float64)
    error = np.sqrt(np.asarray(variance, dtype=np.float64))
    free, slope = free_scale(d, limits)
    scale = np.where(error == 0, 0.0, error * slope)
    t = np.divide(free, scale, out=np.full(d.shape, np.nan), where=scale > 0)
    equal = (error == 0) & (d == 0)
    t = np.where(equal, 0.0, t)
    freedom = np.maximum(groups - 1, 1)
    p = np.where(equal, 1.0, np.nan if one_split else 2 * stats.t.sf(np.abs(t), freedom))
    note = np.select(
        [np.isnan(d), equal, np.isnan(error), scale == 0, np.full(d.shape, one_split)],
        [
            "no fold has scores of both",
            "equal for every group",
            "no test: fewer than two groups, or none left out",
            "the same difference for every group: no variance to test against",
            ONE_SPLIT,
        ],
        default="",
    )
    return Paired(d, free, scale, freedom, t, p, note)


def posterior(test: Paired, rope: ArrayLike, limits: Limits) -> Posterior:
    """Probabilities of a difference below, within and above what makes none in practice (Benavoli et al. 2017).

    The difference's posterior, on its free scale, is Student's t about its value, with the standard error and the
    degrees of freedom of the test: that of an improper prior under which both agree.

    Parameters
    ----------
    rope : array that broadcasts to the shape of the test, float64
        Differences of at most this size make no difference in practice.

    Returns
    -------
    Posterior
        NaN where the test has no p. All on one side where nothing varies.
    """
    size = np.asarray(rope, dtype=np.float64)
    below, above = free_scale(-size, limits)[0], free_scale(size, limits)[0]
    spread = np.where(test.scale > 0, test.scale, np.nan)
    left = stats.t.cdf((below - test.free) / spread, test.freedom)
    right = stats.t.sf((above - test.free) / spread, test.freedom)
    # Without any spread the posterior is a point.
    point = test.scale == 0
    left = np.where(point, np.where(test.difference < -size, 1.0, 0.0), left)
    right = np.where(point, np.where(test.difference > size, 1.0, 0.0), right)
    left, right = (np.where(np.isnan(test.p) & ~point, np.nan, side) for side in (left, right))
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
