"""What was run: the study in numbers, who is in and who is out and why, and the folds as a picture."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Figure, Section, Text, Warned, small_table
from cortax.report.figures import as_svg, new_figure
from cortax.report.material import Material

__all__ = ["section"]

MAX_REASONS = 25


def section(material: Material) -> Section:
    """Return the section."""
    blocks: list[Block] = []
    if material.simulated:
        blocks.append(Warned("The data are SIMULATED. Nothing on this page says anything about people."))
    blocks += [_summary(material), _targets(material), *_left_out(material), _folds(material)]
    return Section("study", "What was run", tuple(blocks))


def _summary(material: Material) -> Text:
    cohort, folds = material.cohort, material.folds
    scores = material.scores
    families = len(np.unique(cohort.groups))
    confounds = ", ".join(cohort.confound_names) or "none"
    return Text(
        f"<p>{len(cohort.subjects)} subjects in {families} groups that are never divided; "
        f"{scores['parcellation'].nunique()} parcellations, {scores['pipeline'].nunique()} pipelines, "
        f"{scores['target'].nunique()} targets; {folds.n_outer} outer folds, {folds.n_inner} inner. "
        f"Confounds, removed on training subjects: {html.escape(confounds)}. "
        "Intervals are bootstraps over whole groups.</p>"
    )


def _targets(material: Material) -> Text:
    targets, rows = material.targets, []
    for name, task, values in zip(targets.names, targets.tasks, targets.values.T, strict=True):
        known = values[~np.isnan(values)]
        about = f"mean {known.mean():.3g}, SD {known.std():.3g}"
        if task == "classification":
            about = f"{int(known.sum())} of class 1 ({known.mean():.0%})"
        rows.append(
            {"target": name, "task": task, "known": len(known), "missing": len(values) - len(known), "values": about}
        )
    return small_table(pd.DataFrame(rows), "Targets")


def _left_out(material: Material) -> list[Block]:
    parts = [
        pd.read_csv(job.folder / "dropped.csv", dtype=str).fillna("")
        for job in material.jobs.values()
        if (job.folder / "dropped.csv").exists()
    ]
    everyone = pd.concat(parts, ignore_index=True).drop_duplicates("participant_id")
    if everyone.empty:
        return [Text("<p>No subject was left out.</p>")]
    shown = everyone.reindex(columns=["participant_id", "reason", "file"]).fillna("").head(MAX_REASONS)
    more = f"; the first {MAX_REASONS} of {len(everyone)}" if len(everyone) > MAX_REASONS else ""
    return [small_table(shown, f"{len(everyone)} subjects were left out, with the first reason that was found{more}")]


def _folds(material: Material) -> Figure:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    folds, groups = material.folds, material.cohort.groups
    _, codes = np.unique(groups, return_inverse=True)
    first = folds.test[folds.repeat == 0].argmax(axis=0)
    order = np.lexsort((codes.ravel(), first))
    parts = np.zeros((folds.n_outer, folds.n_subjects), dtype=int)
    for inner in range(folds.n_inner):
        parts[folds.valid[:, inner]] = 1 + inner
    parts[folds.test] = folds.n_inner + 1
    figure = new_figure(7.5, 0.9 + 0.22 * (folds.n_outer + 1))
    above, axes = figure.subplots(2, 1, height_ratios=[1, folds.n_outer], sharex=True)
    edges = np.r_[0, np.diff(codes.ravel()[order]) != 0].cumsum() % 2
    above.imshow(edges[None], aspect="auto", cmap=ListedColormap(["#444444", "#bbbbbb"]), interpolation="nearest")
    above.set_yticks([0], ["group"])
    shades = ["#f3f3f3", *(str(0.88 - 0.3 * k / max(folds.n_inner, 1)) for k in range(folds.n_inner)), "#0072B2"]
    norm = BoundaryNorm(np.arange(-0.5, folds.n_inner + 2), folds.n_inner + 2)
    image = axes.imshow(parts[:, order], aspect="auto", cmap=ListedColormap(shades), norm=norm, interpolation="nearest")
    axes.set_yticks(range(folds.n_outer), [f"fold {k}" for k in range(folds.n_outer)])
    axes.set_xlabel("subjects, sorted by the fold that tests them and by group")
    bar = figure.colorbar(image, ax=[above, axes], ticks=range(1, folds.n_inner + 2), fraction=0.05)
    bar.ax.set_yticklabels([*(f"inner {k}" for k in range(folds.n_inner)), "test"])
    alt = (
        f"Outer folds as rows and {folds.n_subjects} subjects as columns: who is tested, and in which inner fold the "
        f"others are validated. The strip above alternates between groups; no group is on both sides."
    )
    return Figure(as_svg(figure, alt), "The folds. A change of grey in the strip above is a change of group.")
