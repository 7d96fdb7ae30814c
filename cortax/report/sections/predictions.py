"""How the predictions of one cell look: observed against predicted and residuals, or ROC curve and calibration."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from cortax.report.blocks import Choice, Figure, Section
from cortax.report.figures import COLOURS, as_pixels, as_svg, new_figure
from cortax.report.material import Material

__all__ = ["section"]

Floats = npt.NDArray[np.float64]
N_BINS = 8


def section(material: Material) -> Section | None:
    """Return the section: of each target the parcellation and pipeline that predict it best."""
    made = [_of_target(material, str(target)) for target in material.main_scores["target"].unique()]
    figures = tuple(found for found in made if found is not None)
    if not figures:
        return None
    return Section("predictions", "Predictions, closely", (Choice("cells", "target", figures),))


def _of_target(material: Material, target: str) -> tuple[str, Figure] | None:
    scores = material.main_scores
    found = scores[scores["target"] == target].dropna(subset=["value"])
    if found.empty:
        return None
    best = found.sort_values("value", ascending=not material.is_better_high(target), kind="stable").iloc[0]
    stored = material.evaluation(best["parcellation"], best["pipeline"])
    # The first repeat: every subject once, predicted by models that never saw it.
    predicted = stored.found.predictions[0, stored.targets.index(target)]
    place = material.targets.names.index(target)
    truth = material.targets.values[:, place]
    known = np.isfinite(predicted) & np.isfinite(truth)
    if material.targets.tasks[place] == "regression":
        return target, _regression(truth[known], predicted[known], _where(target, best))
    if len(np.unique(truth[known])) < 2:
        return None
    return target, _classification(truth[known], predicted[known], _where(target, best))


def _where(target: str, best: Any) -> str:
    return f"{target} from {best['parcellation']} by {best['pipeline']}"


def _regression(truth: Floats, predicted: Floats, where: str) -> Figure:
    figure = new_figure(7.5, 3)
    left, right = figure.subplots(1, 2)
    behind = [as_pixels(axes, len(truth)) for axes in (left, right)]
    left.scatter(predicted, truth, s=10, alpha=0.6, color=COLOURS[0], zorder=behind[0], linewidths=0)
    ends = [min(predicted.min(), truth.min()), max(predicted.max(), truth.max())]
    left.plot(ends, ends, color="#444444", linewidth=1, linestyle="--")
    left.set(xlabel="predicted out of fold", ylabel="observed")
    right.scatter(predicted, truth - predicted, s=10, alpha=0.6, color=COLOURS[0], zorder=behind[1], linewidths=0)
    right.axhline(0, color="#444444", linewidth=1, linestyle="--")
    right.set(xlabel="predicted out of fold", ylabel="residual: observed - predicted")
    r = np.corrcoef(predicted, truth)[0, 1] if predicted.std() > 0 else np.nan
    words = (
        f"{len(truth)} subjects; correlation over all folds {r:.2f}; predictions spread {predicted.std():.3g} (SD), "
        f"observations {truth.std():.3g}."
    )
    alt = f"Observed values and residuals against predictions: {where}. {words}"
    return Figure(as_svg(figure, alt), f"{html.escape(where)}. {words} The dashed line would be a perfect prediction.")


def _classification(truth: Floats, probability: Floats, where: str) -> Figure:
    figure = new_figure(7.5, 3)
    left, right = figure.subplots(1, 2)
    false, true, _ = roc_curve(truth, probability)
    left.plot(false, true, color=COLOURS[0])
    left.plot([0, 1], [0, 1], color="#444444", linewidth=1, linestyle="--")
    left.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    share, mean = calibration_curve(truth, np.clip(probability, 0, 1), n_bins=N_BINS, strategy="quantile")
    right.plot(mean, share, color=COLOURS[1], marker="s")
    right.plot([0, 1], [0, 1], color="#444444", linewidth=1, linestyle="--")
    right.set(xlabel="predicted probability of class 1", ylabel="share of class 1", aspect="equal")
    gap = float(np.abs(share - mean).max())
    words = (
        f"{len(truth)} subjects, {int(truth.sum())} of class 1; predictions of all folds together. In "
        f"{len(mean)} groups of rising probability the share of class 1 is off by at most {gap:.2f}."
    )
    alt = f"ROC curve and calibration: {where}. {words}"
    return Figure(as_svg(figure, alt), f"{html.escape(where)}. {words}")
