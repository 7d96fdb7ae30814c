"""The power law between size and mean rank: the region of sizes where it holds, and its regression.

The region is chosen by Kolmogorov-Smirnov distance, after Clauset, Shalizi and Newman (SIAM Review 51, 2009); the
regression is that of Hahn et al. (Cerebral Cortex 33, 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cortax.data.textfiles import read_columns
from cortax.errors import InputError, choices
from cortax.learning.arrays import Floats, Ints

__all__ = ["MIN_PARCELLATIONS", "PowerLaw", "fit_power_law", "read_rank_table", "select_region"]


MIN_PARCELLATIONS = 4
# A fit that meets a rank but for rounding is the same value: else noise of 1e-16 would choose the region.
_SAME = 1e-9


@dataclass(frozen=True)
class PowerLaw:
    """log10(mean rank) = intercept + slope log10(size) + effect of the category.

    Attributes
    ----------
    region : tuple of float
        Smallest and largest size that were fitted.
    n : int
        How many parcellations were.
    dropped : tuple of int
        How many smaller and larger ones were not.
    reference : str
        The category that the effects of the others are differences from; empty if there are no categories.
    estimate, error : dict of str to float
        Ordinary least squares and its standard errors, by "slope", "intercept" and "type[...]", in log10 units. An
        error is NaN where no degree of freedom is left.
    r2 : float
        NaN if all ranks in the region are equal.
    """

    region: tuple[float, float]
    n: int
    dropped: tuple[int, int]
    reference: str
    estimate: dict[str, float]
    error: dict[str, float]
    r2: float
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON: sizes as whole numbers where they are, the estimates by their own names."""
        ends = [int(size) if float(size).is_integer() else size for size in self.region]
        about = {"region": ends, "n": self.n, "dropped": list(self.dropped), "reference": self.reference}
        return {**about, **self.estimate, "r2": self.r2, "standard_error": self.error, "warnings": list(self.warnings)}


def select_region(sizes: ArrayLike, ranks: ArrayLike) -> Ints:
    """Choose the parcellations among which a power law holds best.

    Sorted by size, 0 to n/4 - 1 of the smallest are dropped: as many as minimise the two-sample Kolmogorov-Smirnov
    distance between the mean ranks and those of the log-log line through what is left, the fewest of equally good
    ones. Then the same is done with the largest. Where the ranks leave the line at both ends, the smallest are chosen
    while the largest are still there, so that part of a bend may stay: the published method is no joint search.

    Parameters
    ----------
    sizes, ranks : arrays of shape (n_parcellations,), float64
        Positive. Parcellations of the same size keep their order, which decides which of them is dropped.

    Returns
    -------
    array of int64
        Their rows, the smallest first.
    """
    order = np.argsort(np.asarray(sizes), kind="stable")
    x, y = np.log10(np.asarray(sizes, dtype=float)[order]), np.log10(np.asarray(ranks, dtype=float)[order])
    n, numbers = len(x), range(max(1, len(x) // 4))
    # argmin takes the first of equals, and equal distances are equal to the bit.
    small = int(np.argmin([_distance(x[k:], y[k:]) for k in numbers]))
    large = int(np.argmin([_distance(x[small : n - k], y[small : n - k]) for k in numbers]))
    return order[small : n - large]


def _distance(x: Floats, y: Floats) -> float:
    """Kolmogorov-Smirnov distance between values and those of the line through them; infinite without a line."""
    spread = x - x.mean()
    if np.ptp(x) == 0:
        return float("inf")
    fitted = y.mean() + (spread @ y) / (spread @ spread) * spread
    fitted = np.sort(np.where(np.abs(fitted - y) < _SAME, y, fitted))
    observed = np.sort(y)
    both = np.concatenate([observed, fitted])
    below = np.searchsorted(observed, both, side="right") - np.searchsorted(fitted, both, side="right")
    return float(np.abs(below).max() / len(y))


def fit_power_law(
    sizes: ArrayLike,
    ranks: ArrayLike,
    categories: Sequence[str] | None = None,
    *,
    what: str = "type",
    reference: str | None = None,
) -> PowerLaw:
    """Select the region and regress log10(rank) on log10(size) and the category within it.

    Parameters
    ----------
    sizes, ranks : arrays of shape (n_parcellations,), float64
        Positive and finite.
    categories : sequence of str, optional
        Of each parcellation.
    what : str
        What they are; effects are called "<what>[<category>]".
    reference : str, optional
        By default "existing" (in any case of letters) if it is in the region, else the first by alphabet.

    Raises
    ------
    InputError
        Fewer than `MIN_PARCELLATIONS`; sizes or ranks that are not positive numbers; sizes that are all the same, in
        all or within each category of the region.
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(ranks, dtype=np.float64)
    labels = np.asarray([""] * len(x) if categories is None else categories, dtype=object)
    _check(x, y, labels)
    kept = select_region(x, y)
    levels, warnings = _levels(labels, kept, what, reference)
    columns = [np.log10(x[kept]), np.ones(len(kept)), *(labels[kept] == level for level in levels[1:])]
    names = ["slope", "intercept", *(f"{what}[{level}]" for level in levels[1:])]
    values, errors, r2 = _least_squares(np.column_stack(columns), np.log10(y[kept]), what)
    if np.isnan(r2):
        warnings.append("all ranks in the region are equal: nothing to explain, r2 is NaN")
    if np.isnan(errors).any():
        warnings.append(f"{len(names)} estimates from {len(kept)} parcellations: no standard errors")
    small, large = float(x[kept[0]]), float(x[kept[-1]])
    first = int(np.flatnonzero(np.argsort(x, kind="stable") == kept[0])[0])
    return PowerLaw(
        region=(small, large),
        n=len(kept),
        dropped=(first, len(x) - first - len(kept)),
        reference=levels[0],
        estimate=dict(zip(names, values.tolist(), strict=True)),
        error=dict(zip(names, errors.tolist(), strict=True)),
        r2=r2,
        warnings=tuple(warnings),
    )


def _check(sizes: Floats, ranks: Floats, labels: NDArray[np.object_]) -> None:
    if not len(sizes) == len(ranks) == len(labels):
        raise InputError(f"{len(sizes)} sizes, {len(ranks)} ranks and {len(labels)} categories: must be as many")
    if len(sizes) < MIN_PARCELLATIONS:
        raise InputError(f"a power law needs at least {MIN_PARCELLATIONS} parcellations, found {len(sizes)}")
    for name, values in (("sizes", sizes), ("mean ranks", ranks)):
        wrong = [float(value) for value in values[~(np.isfinite(values) & (values > 0))]]
        if wrong:
            raise InputError(f"{name} must be positive numbers, found {wrong[:5]} ({len(wrong)} of {len(values)})")
    if np.ptp(sizes) == 0:
        raise InputError(f"a slope needs different sizes, all {len(sizes)} parcellations have {sizes[0]:g} regions")


def _levels(labels: NDArray[np.object_], kept: Ints, what: str, reference: str | None) -> tuple[list[str], list[str]]:
    """Categories in the region, the reference first, and a warning if others are outside."""
    inside = sorted({str(label) for label in labels[kept]})
    outside = sorted({str(label) for label in labels} - set(inside))
    existing = [level for level in inside if level.lower() == "existing"]
    first = reference if reference in inside else (existing or inside)[0]
    said = [f"{what} {level!r} has no parcellation in the region: no effect is estimated" for level in outside]
    return [first, *(level for level in inside if level != first)], said


def _least_squares(design: Floats, y: Floats, what: str) -> tuple[Floats, Floats, float]:
    """Estimates, standard errors and r2."""
    n, n_estimates = design.shape
    if np.linalg.matrix_rank(design) < n_estimates:
        raise InputError(
            f"a slope needs different sizes within a {what}: {n_estimates} estimates cannot be told apart from {n} "
            f"parcellations in the region"
        )
    q, r = np.linalg.qr(design)
    values = np.linalg.solve(r, q.T @ y)
    rest = y - design @ values
    variance = rest @ rest / (n - n_estimates) if n > n_estimates else float("nan")
    errors = np.sqrt(variance * (np.linalg.inv(r) ** 2).sum(axis=1))
    total = y - y.mean()
    r2 = float("nan") if np.ptp(y) == 0 else 1 - float(rest @ rest) / float(total @ total)
    return values, errors, r2


COLUMNS = ("parcellation", "size", "mean_rank", "type")


def read_rank_table(path: Path) -> pd.DataFrame:
    """Read a table of mean ranks.

    Parameters
    ----------
    path : Path
        CSV, TSV or Parquet with the columns `COLUMNS`; others are ignored.

    Returns
    -------
    DataFrame with `COLUMNS`
        In the file's order; size and mean_rank are float64.

    Raises
    ------
    InputError
        It cannot be read, a column is missing, or a cell is empty, not a number or not positive; the message names
        the data rows.
    """
    table = read_columns(path, ["parcellation", "type"], {"size", "mean_rank"})
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"{path}: no such column: {choices(name, table.columns)}")
    for name in ("parcellation", "type"):
        empty = table[name].isna() | (table[name].astype(str).str.strip() == "")
        _refuse(path, table[name], empty, "must not be empty")
    for name in ("size", "mean_rank"):
        numbers = pd.to_numeric(table[name], errors="coerce").astype("float64")
        _refuse(path, table[name], ~((numbers > 0) & (numbers < np.inf)), "must be positive numbers")
        table[name] = numbers
    return table[list(COLUMNS)]


def _refuse(path: Path, column: pd.Series, wrong: pd.Series, allowed: str) -> None:
    if wrong.any():
        rows = [int(row) for row in wrong.index[wrong][:5]]
        found = [str(value) for value in column[wrong][:5]]
        raise InputError(
            f"{path}: column {column.name!r}: cells {allowed}; data rows {rows} hold {found} ({wrong.sum()} rows)"
        )
