"""ComBat: removal of site effects inside cross-validation, as a scikit-learn transformer.

Sources: Johnson, Li & Rabinovic, Biostatistics 8 (2007), 118-127; for brain images Fortin et al., NeuroImage 167
(2018), 104-120.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from cortax.errors import FoldError, SearchError, choices
from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.folds import Folds

__all__ = ["UNSEEN", "ComBat", "Harmonisation", "check_sites", "check_target_sites"]

UNSEEN = ("error", "pooled")

_ROUNDING = 1e-10
# Iterations stop at such a relative change, as those of the authors' code do; and after so many, whatever the change.
_CHANGE, _MOST = 1e-4, 1000


@dataclass(frozen=True, eq=False)
class Harmonisation:
    """The sites of subjects, and the covariates whose effects must survive when those of sites are removed.

    Attributes
    ----------
    site_columns : float64 array of shape (n_subjects, 1 + n_preserved)
        The number of the site, then the preserved covariates; all finite.
    site_names : tuple of str
        By the number of the site.
    preserved : tuple of str
        What the other columns are.
    unseen : {"error", "pooled"}
        See `ComBat`.

    Raises
    ------
    SearchError
        Shapes disagree, a value is not finite, a site has no name, or `unseen` is unknown.
    """

    site_columns: Floats
    site_names: tuple[str, ...]
    preserved: tuple[str, ...] = ()
    unseen: str = "error"

    def __post_init__(self) -> None:
        if np.ndim(self.site_columns) != 2 or self.site_columns.shape[1] != 1 + len(self.preserved):
            raise SearchError(
                f"site_columns must be of shape (n_subjects, {1 + len(self.preserved)}): the site and "
                f"{self.preserved}; got {np.shape(self.site_columns)}"
            )
        if not np.isfinite(self.site_columns).all():
            raise SearchError("a subject has no site, or a preserved covariate that is not a finite number")
        if not np.isin(self.site_columns[:, 0], np.arange(len(self.site_names))).all():
            raise SearchError(f"the sites of subjects must be numbers below {len(self.site_names)}, that of the names")
        if self.unseen not in UNSEEN:
            raise SearchError(f"harmonise, unseen: {choices(self.unseen, UNSEEN)}")

    @classmethod
    def of(
        cls, sites: Sequence[str] | npt.NDArray[Any], covariates: Floats, preserved: Sequence[str], unseen: str
    ) -> Harmonisation:
        """Number sites by the sort order of their names; `covariates` are of shape (n_subjects, n_preserved)."""
        names, numbers = np.unique(np.asarray(sites, dtype=str), return_inverse=True)
        columns = np.column_stack([numbers.ravel(), covariates]).astype(np.float64)
        return cls(columns, tuple(names.tolist()), tuple(preserved), unseen)

    def transformer(self, n_confounds: int = 0) -> ComBat:
        """Return the step of a pipeline whose X is [regions | confounds | site_columns]."""
        return ComBat(len(self.preserved), n_untouched=n_confounds, unseen=self.unseen, site_names=self.site_names)


class ComBat(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Remove from features what sites add to them and by how much they scale them: parametric empirical Bayes ComBat.

    With feature j of subject s at site i, covariates c, and least squares estimates a, b (the mean over subjects of the
    sites' effects and those of the covariates) and v (the mean of squared residuals)::

        z_sj = (x_sj - a_j - c_s b_j) / sqrt(v_j)  ~  N(gamma_ij, delta_ij)
        x_sj  becomes  sqrt(v_j) (z_sj - gamma*_ij) / sqrt(delta*_ij) + a_j + c_s b_j

    where gamma* and delta* are posterior means under priors, normal and inverse gamma, whose moments are those of all
    features at the site. `fit` sees training rows alone; `transform` uses what was fitted, and a row's own site and
    covariates. A covariate that is constant in training has no effect, so that a category that training rows lack
    counts as the first one. A feature of which sites and covariates leave nothing but rounding becomes what the
    covariates explain of it. A single feature gets the estimates without priors.

    Parameters
    ----------
    n_covariates : int, default=0
        X is [features | untouched | site | covariates]; the site is a number. No NaN.
    n_untouched : int, default=0
        Columns between features and site that are returned as they are.
    unseen : {"error", "pooled"}, default="error"
        What is done with a site of which `fit` saw no subject or one only, which has no variance: `error` raises
        ValueError; `pooled` takes nothing from its subjects, standardised by grand mean and pooled variance, and adds
        nothing: their features stay as measured. The one subject is not fitted on.
    site_names : sequence of str, optional
        Names by the number of the site, for messages.

    Attributes
    ----------
    sites_ : array of shape (n_sites,)
        Numbers of the sites that have an effect.
    grand_mean_, pooled_variance_ : arrays of shape (n_features_out,), float64
    covariate_means_ : array of shape (n_covariates,), float64
    covariate_effects_ : array of shape (n_covariates, n_features_out), float64
    gamma_star_, delta_star_ : arrays of shape (n_sites, n_features_out), float64
        Shift and variance of each site, of standardised features.
    flat_ : array of shape (n_features_out,), bool
        Features of which nothing is left but rounding.
    """

    def __init__(
        self, n_covariates: int = 0, *, n_untouched: int = 0, unseen: str = "error", site_names: Sequence[str] = ()
    ) -> None:
        self.n_covariates = n_covariates
        self.n_untouched = n_untouched
        self.unseen = unseen
        self.site_names = site_names

    def fit(self, X: npt.ArrayLike, y: Any = None) -> ComBat:  # noqa: ARG002
        """Estimate from X of shape (n_subjects, n_features_out + n_untouched + 1 + n_covariates), without NaN.

        Raises ValueError: fewer than two subjects of a site, see `unseen`, or of every site; or a preserved covariate
        cannot be told from sites.
        """
        data = validate_data(self, X, dtype=np.float64)
        if self.unseen not in UNSEEN:
            raise ValueError(f"unseen: {choices(self.unseen, UNSEEN)}")
        if min(self.n_covariates, self.n_untouched, data.shape[1] - self.n_covariates - self.n_untouched - 2) < 0:
            raise ValueError(
                f"X has {data.shape[1]} columns; a feature, {self.n_untouched} untouched, a site and "
                f"{self.n_covariates} covariates are needed"
            )
        features, _, sites, covariates = self._parts(data)
        self.sites_, fitted = self._fitted_sites(sites)
        if not fitted.all():
            features, sites, covariates = features[fitted], sites[fitted], covariates[fitted]
        if problem := _confused(sites, covariates):
            raise ValueError(problem)
        self._estimate(features, np.searchsorted(self.sites_, sites), covariates)
        return self

    def transform(self, X: npt.ArrayLike) -> Floats:
        """Return [harmonised features | untouched] of shape (n_subjects, n_features_out + n_untouched), float64.

        Raises ValueError: a site is unseen, see the parameter.
        """
        check_is_fitted(self)
        features, untouched, sites, covariates = self._parts(validate_data(self, X, dtype=np.float64, reset=False))
        unseen = ~np.isin(sites, self.sites_)
        if unseen.any() and self.unseen == "error":
            raise ValueError(self._lacking(np.unique(sites[unseen])))
        found = np.hstack([features, untouched])
        out = found[:, : features.shape[1]]
        expected = self.grand_mean_ + (covariates - self.covariate_means_) @ self.covariate_effects_
        shifts = self.gamma_star_ * np.sqrt(self.pooled_variance_)
        factors = 1 / np.sqrt(self.delta_star_)
        for number, site in enumerate(self.sites_):
            rows = sites == site
            out[rows] = (out[rows] - expected[rows] - shifts[number]) * factors[number] + expected[rows]
        out[:, self.flat_] = expected[:, self.flat_]
        return found

    def get_feature_names_out(self, input_features: npt.ArrayLike | None = None) -> npt.NDArray[np.object_]:
        """Return the names of features and untouched columns, without site and covariates."""
        check_is_fitted(self)
        names = OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        kept: npt.NDArray[np.object_] = names[: len(names) - 1 - self.n_covariates]
        return kept

    def _parts(self, data: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return features, untouched columns, sites and covariates."""
        site = data.shape[1] - 1 - self.n_covariates
        n_features = site - self.n_untouched
        return data[:, :n_features], data[:, n_features:site], data[:, site], data[:, site + 1 :]

    def _fitted_sites(self, sites: Floats) -> tuple[Floats, Bools]:
        """Return the numbers of the sites that can be fitted, and which rows are of them."""
        numbers, counts = np.unique(sites, return_counts=True)
        few = numbers[counts < 2]
        if len(few) and self.unseen == "error":
            raise ValueError(self._lacking(few))
        if len(few) == len(numbers):
            raise ValueError("no site has two subjects to fit on")
        return numbers[counts >= 2], ~np.isin(sites, few)

    def _lacking(self, sites: Floats) -> str:
        names = [self.site_names[int(site)] if self.site_names else f"{site:g}" for site in sites[:5]]
        return (
            f"sites {names} have fewer than two subjects to fit on, so their effects are unknown; unseen = 'pooled' "
            "leaves the features of such subjects as measured"
        )

    def _estimate(self, features: Floats, codes: Ints, covariates: Floats) -> None:
        """Fit location and scale of every site."""
        counts = np.bincount(codes)
        member = np.zeros((len(codes), len(counts)))
        member[np.arange(len(codes)), codes] = 1.0
        means, covariate_means = ((member.T @ values) / counts[:, None] for values in (features, covariates))
        # Of what is constant in training, rounding would be left.
        varying = _varying(covariates)
        within, covariates_within = features - means[codes], np.where(varying, covariates - covariate_means[codes], 0.0)
        # Sites take up the means of theirs, so covariates are fitted within sites (Frisch-Waugh).
        effects = _least_squares(covariates_within, within, covariates.std(axis=0))
        within -= covariates_within @ effects
        self.covariate_means_, self.covariate_effects_ = covariates.mean(axis=0), effects
        site_effects = means - (covariate_means - self.covariate_means_) @ effects
        share = counts / len(codes)
        self.grand_mean_ = share @ site_effects
        squares = member.T @ within**2
        size = np.sqrt(np.mean(features**2, axis=0))
        # Rounding is no variance of a site: to divide by it would make anything of a new subject.
        squares[np.sqrt(squares / counts[:, None]) <= _ROUNDING * size] = 0.0
        self.pooled_variance_ = squares.sum(axis=0) / len(codes)
        self.flat_ = np.sqrt(self.pooled_variance_) <= _ROUNDING * size
        self.gamma_star_, self.delta_star_ = np.zeros_like(means), np.ones_like(means)
        kept = ~self.flat_
        gamma = (site_effects - self.grand_mean_)[:, kept] / np.sqrt(self.pooled_variance_[kept])
        delta = squares[:, kept] / ((counts - 1)[:, None] * self.pooled_variance_[kept])
        self.gamma_star_[:, kept], self.delta_star_[:, kept] = _posterior(gamma, delta, counts)


def _least_squares(C: Floats, features: Floats, scale: Floats) -> Floats:
    """Regress on covariates in units of their standard deviations: the smallest coefficients that fit."""
    unit = np.where(scale > 0, scale, 1.0)
    return np.asarray(np.linalg.lstsq(C / unit, features, rcond=None)[0] / unit[:, None])


def _posterior(gamma: Floats, delta: Floats, counts: Ints) -> tuple[Floats, Floats]:
    """Shrink shifts and variances, of shape (n_sites, n_features), towards those of all features of the site.

    The two posterior means depend on each other and are found by iteration, from and to the point where the authors'
    code (`it.sol` of sva, `it_sol` of neuroCombat) starts and stops, so that numbers are those of that code.
    """
    g, d = gamma.copy(), delta.copy()
    if gamma.shape[1] > 1:
        n = counts[:, None]
        mean, weight = gamma.mean(axis=1, keepdims=True), n * gamma.var(axis=1, ddof=1, keepdims=True)
        middle, variance = delta.mean(axis=1, keepdims=True), delta.var(axis=1, ddof=1, keepdims=True)
        some = np.where(variance > 0, variance, 1.0)
        a, b = 2 + middle**2 / some, middle + middle**3 / some
        todo = np.arange(len(gamma))
        for _ in range(_MOST):
            old_g, old_d, N, w = g[todo], d[todo], n[todo], weight[todo]
            total = w + old_d
            new_g = (w * gamma[todo] + old_d * mean[todo]) / np.where(total > 0, total, 1.0)
            new_g = np.where(total > 0, new_g, gamma[todo])
            squares = (N - 1) * delta[todo] + N * (gamma[todo] - new_g) ** 2
            new_d = (0.5 * squares + b[todo]) / (N / 2 + a[todo] - 1)
            # Where all variances are equal, the prior is certain.
            new_d = np.where(variance[todo] > 0, new_d, middle[todo])
            g[todo], d[todo] = new_g, new_d
            with np.errstate(invalid="ignore", divide="ignore"):
                # Signed in the first, as in the authors' code.
                changes = np.hstack([np.abs(new_g - old_g) / old_g, np.abs(new_d - old_d) / old_d])
            todo = todo[(changes > _CHANGE).any(axis=1)]
            if not len(todo):
                break
    # A variance of 0 scales nothing.
    return g, np.where(d > 0, d, 1.0)


def _varying(covariates: Floats) -> Bools:
    """Return which covariates are more than a constant and rounding."""
    return np.asarray(covariates.std(axis=0) > _ROUNDING * np.abs(covariates).max(axis=0, initial=0.0))


def _confused(sites: Floats, covariates: Floats) -> str:
    """Say why sites and covariates cannot be told apart; empty if they can."""
    C = covariates[:, _varying(covariates)]
    C = (C - C.mean(axis=0)) / C.std(axis=0)
    numbers, codes = np.unique(sites, return_inverse=True)
    within = C.copy()
    for number in range(len(numbers)):
        rows = codes == number
        within[rows] -= within[rows].mean(axis=0)
    limit = 1e-8 * np.sqrt(len(C))
    rank, rank_within = (np.linalg.matrix_rank(part, tol=limit) if part.size else 0 for part in (C, within))
    if rank_within < rank:
        return (
            "preserved covariates cannot be told from sites: one of them, or a sum of them, is the same for all "
            "subjects of a site. Preserve fewer, or leave sites out"
        )
    if 2 * (len(numbers) + rank) > len(C):
        return (
            f"{len(numbers)} sites and preserved covariates of rank {rank} for {len(C)} subjects; at most half as many "
            f"are allowed, {len(C) // 2}"
        )
    return ""


def check_sites(harmonise: Harmonisation, folds: Folds, known: Bools | None = None) -> list[str]:
    """Make sure that ComBat can be fitted on every training part.

    Parameters
    ----------
    harmonise : Harmonisation
    folds : Folds
    known : bool array of shape (n_subjects,), optional
        The subjects that have a target.

    Returns
    -------
    list of str
        A sentence for each site whose subjects stay as measured in some part, where `unseen` is "pooled".

    Raises
    ------
    FoldError
        In a part, preserved covariates cannot be told from sites, or no site has two subjects; or, where `unseen` is
        "error", a site of the part has fewer than two training subjects. The message names part and site.
    """
    everyone = np.ones(folds.n_subjects, dtype=bool) if known is None else known
    sites, covariates = harmonise.site_columns[:, 0], harmonise.site_columns[:, 1:]
    unseen: dict[str, list[str]] = {}
    n_parts = 0
    for part, train, test in _parts_of(folds):
        n_parts += 1
        train, test = train & everyone, test & everyone
        numbers, counts = np.unique(sites[train], return_counts=True)
        enough = np.isin(sites, numbers[counts >= 2])
        lacking = np.unique(sites[(train | test) & ~enough])
        for site in lacking.astype(int).tolist():
            unseen.setdefault(harmonise.site_names[site], []).append(part)
        if len(lacking) and harmonise.unseen == "error":
            names = [harmonise.site_names[site] for site in lacking.astype(int)]
            raise FoldError(
                f"{part}: sites {names[:5]} have fewer than two training subjects, so ComBat does not know their "
                "effects. harmonise.unseen = 'pooled' leaves the regions of such subjects as measured; or leave these "
                "sites out"
            )
        if not (train & enough).any():
            raise FoldError(f"{part}: ComBat needs a site with two training subjects; there is none")
        if problem := _confused(sites[train & enough], covariates[train & enough]):
            raise FoldError(f"{part}, ComBat: {problem}")
    return [
        f"site {name!r} has no effect of its own in {len(parts)} of {n_parts} training parts, which have fewer than "
        f"two of its subjects (the first: {parts[0]}); its subjects' regions stay as measured there"
        for name, parts in sorted(unseen.items())
    ]


def check_target_sites(harmonise: Harmonisation, folds: Folds, targets: Floats, names: Sequence[str]) -> list[str]:
    """Check the sites of everybody, and of those who have each target, of shape (n_subjects, n_targets); NaN if not.

    Returns and raises what `check_sites` does, with the name of the target.
    """
    notes = check_sites(harmonise, folds)
    checked: set[bytes] = set()
    for name, values in zip(names, targets.T, strict=True):
        known = ~np.isnan(values)
        if known.all() or (pattern := known.tobytes()) in checked:
            continue
        checked.add(pattern)
        try:
            notes += [f"target {name!r}: {note}" for note in check_sites(harmonise, folds, known) if note not in notes]
        except FoldError as error:
            raise FoldError(f"target {name!r}: {error}") from error
    return notes


def _parts_of(folds: Folds) -> Iterator[tuple[str, Bools, Bools]]:
    """Yield the name of every training part, who is in it, and who is predicted from it."""
    for outer, (test, valid) in enumerate(zip(folds.test, folds.valid, strict=True)):
        yield f"outer fold {outer}", ~test, test
        for inner, held_out in enumerate(valid):
            yield f"outer fold {outer}, inner fold {inner}", ~test & ~held_out, held_out
