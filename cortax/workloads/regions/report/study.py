"""What was run: the study in numbers, who is in and who is out and why, and the folds as a picture."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from cortax.brain.data.dropped import read_dropped
from cortax.learning.classes import is_by_class
from cortax.report.blocks import Block, Figure, PageSection, Text, Warned, small_table
from cortax.report.figures import as_svg, new_figure
from cortax.workloads.regions.class_names import read_json
from cortax.workloads.regions.report.material import Material

__all__ = ["section"]

MAX_REASONS = 25


def section(material: Material) -> PageSection:
    """Return the section."""
    blocks: list[Block] = []
    if material.made.simulated:
        blocks.append(Warned("The data are SIMULATED. Nothing on this page says anything about people."))
    means = material.scores[material.scores["fold"] == "mean"]
    if (
        lacking := means[means["value"].isna()]
        .drop_duplicates(["parcellation", "pipeline", "target"])
        .to_dict("records")
    ):
        which = [f"{row['target']} by {row['parcellation']}/{row['pipeline']}" for row in lacking]
        more = f" and {len(which) - MAX_REASONS} more" if len(which) > MAX_REASONS else ""
        blocks.append(Warned(f"Scores are missing: {', '.join(which[:MAX_REASONS])}{more}; `cortax errors` says why."))
    blocks += [_summary(material), *_rows(material), _targets(material), *_left_out(material)]
    blocks += [*_lost_scans(material), _folds(material)]
    return PageSection("study", "What was run", tuple(blocks))


def _summary(material: Material) -> Text:
    cohort, folds = material.cohort, material.folds
    scores = material.scores
    families = len(np.unique(cohort.groups))
    confounds = ", ".join(cohort.confound_names) or "none"
    return Text(
        f"<p>{len(cohort.subjects)} subjects in {families} groups that are never divided{_kept_together(material)}; "
        f"{scores['parcellation'].nunique()} parcellations, {scores['pipeline'].nunique()} pipelines, "
        f"{scores['target'].nunique()} targets; {folds.n_outer} outer folds, {folds.n_inner} inner. "
        f"{_sites(material)}Confounds, removed on training subjects: {html.escape(confounds)}. "
        "Intervals are of a jackknife over whole groups, with the spread over repeats.</p>"
    )


def _sites(material: Material) -> str:
    harmonise = material.cohort.harmonise
    if harmonise is None:
        return ""
    unseen = "are an error" if harmonise.unseen == "error" else "keep the regions of their subjects as measured"
    return html.escape(
        f"Effects of {len(harmonise.site_names)} sites, removed by ComBat as fitted on training subjects, before "
        f"confounds; preserved: {', '.join(harmonise.preserved) or 'nothing'}; sites with fewer than two training "
        f"subjects {unseen}. "
    )


def _kept_together(material: Material) -> str:
    for job in material.of("phenotype"):
        if together := read_json(job.folder / "groups.json").get("kept_together"):
            return html.escape(f" ({together})")
    return ""


def _rows(material: Material) -> list[Block]:
    """How many rows of tables were selected, and what else was said of them."""
    blocks: list[Block] = []
    for job in material.of("phenotype"):
        about = read_json(job.folder / "groups.json")
        blocks += [Text(f"<p>Phenotypes: {html.escape(note)}.</p>") for note in about.get("notes", ())]
        blocks += [Warned(f"Phenotypes: {warning}.") for warning in about.get("warnings", ())]
    for job in material.of("table"):
        notes = read_json(job.folder / "rows.json").get("notes", ())
        name = job.key["parcellation"]
        blocks += [Text(f"<p>{html.escape(f'Table {name}: {note}')}.</p>") for note in notes]
    return blocks


def _targets(material: Material) -> Text:
    targets, rows = material.targets, []
    for name, task, values in zip(targets.names, targets.tasks, targets.values.T, strict=True):
        known = values[~np.isnan(values)]
        meaning, classes = material.meaning(name), material.class_names[name]
        about = f"mean {known.mean():.3g}, SD {known.std():.3g} {meaning.units}".strip()
        if is_by_class(task, len(classes)):
            counts = np.bincount(known.astype(np.int64), minlength=len(classes))
            about = ", ".join(f"{count} {called}" for count, called in zip(counts, classes, strict=True))
        elif task == "classification":
            about = f"{int(known.sum())} of {meaning.positive} ({known.mean():.0%})"
        rows.append(
            {"target": name, "task": task, "known": len(known), "missing": len(values) - len(known), "values": about}
        )
    return small_table(pd.DataFrame(rows), "Targets")


def _left_out(material: Material) -> list[Block]:
    everyone = read_dropped(job.folder for job in material.made.jobs)
    if everyone.empty:
        return [Text("<p>No subject was left out.</p>")]
    shown = everyone.head(MAX_REASONS)
    more = f"; the first {MAX_REASONS} of {len(everyone)}" if len(everyone) > MAX_REASONS else ""
    return [small_table(shown, f"{len(everyone)} subjects were left out, with the first reason that was found{more}")]


def _lost_scans(material: Material) -> list[Block]:
    """Sessions and runs that could not be used, of subjects who have others."""
    paths = [path for job in material.of("load") if (path := job.folder / "lost_scans.csv").exists()]
    if not paths:
        return []
    lost = pd.concat([pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths], ignore_index=True)
    more = f"; the first {MAX_REASONS} of {len(lost)}" if len(lost) > MAX_REASONS else ""
    n_lost = f"{len(lost)} scan{'s' * (len(lost) > 1)}"
    title = f"{n_lost} could not be used; others of the same subjects are averaged without them{more}"
    return [small_table(lost.head(MAX_REASONS).rename(columns={"participant_id": "scan"}), title)]


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
