"""What was decoded: subjects, trials and classes, the search, and what every test assumes."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from cortax.report.blocks import Block, PageSection, Sheet, Text, small_table
from cortax.workloads.decoding.epochs import open_trials
from cortax.workloads.decoding.report.material import Material

__all__ = ["section"]

_METRICS = {
    "balanced_accuracy": "balanced accuracy, the mean over classes of the share of trials that are told right",
    "accuracy": "accuracy, the share of trials that are told right",
    "roc_auc": "the area under the ROC curve",
    "pearson_r": "the correlation of labels with predictions",
    "r2": "R2, the share of the variance of labels that predictions explain",
}


def section(material: Material) -> PageSection | None:
    """Return the section."""
    if not material.maps:
        return None
    blocks: list[Block] = [Text(_words(material)), _trials(material)]
    if len(group := _group_table(material)):
        blocks.append(
            small_table(group, "The group: mean score where bins trained and tested in are one, and tests of the map")
        )
    blocks.append(_scores(material))
    return PageSection("study", "What was decoded", tuple(blocks))


def _words(material: Material) -> str:
    options = material.maps[0].options
    nulls = {
        "labels": "<b>Permuted labels</b>: given what the decoders said, labels of test trials are exchangeable"
        " (within runs, where the study names them). Exact in a phase that was not trained in; approximate in the one "
        "that was, as labels had a part in training the decoders of other folds.",
        "signs": "<b>Flipped signs</b>: a subject's map, less chance, is as likely as its negative.",
    }
    told = nulls if options["group"] else {"labels": nulls["labels"]}
    metric = _METRICS[material.maps[0].metric]
    return (
        f"<p>Decoders were trained in phase <b>{html.escape(options['trained'])}</b>, bin by bin, and tested in every "
        f"bin. Scores are {metric}; chance is what they would be if labels were exchangeable.</p><ul>"
        + "".join(f"<li>{told[name]}</li>" for name in (options["null"] if options["group"] else ["labels"]))
        + "</ul><p>p is of the highest value of a whole map; <code>p_all</code> of the highest of all features and "
        "decoders. Tests are one-sided.</p>"
    )


def _trials(material: Material) -> Block:
    rows = []
    for job in material.made.of("epochs"):
        for phase in job.setup["options"]["files"]:
            trials = open_trials(job.folder, phase)
            rows.append(
                {
                    "subject": job.key["subject"],
                    "phase": phase,
                    "trials": len(trials.labels),
                    "labels": _labels(trials.labels, continuous=job.setup["options"]["continuous"]),
                    "channels": len(trials.channels),
                    "rate, Hz": trials.rate,
                    "from, s": float(trials.times[0]),
                    "to, s": float(trials.times[-1]),
                    "left out": ", ".join(f"{n} {reason}" for reason, n in trials.dropped.items()) or "none",
                    "job": job.id,
                }
            )
    return Sheet("trials", "Trials of every subject", pd.DataFrame(rows), ("phase",), {"trials": "job"})


def _labels(labels: Sequence[str], *, continuous: bool) -> str:
    if continuous:
        numbers = [float(label) for label in labels]
        return f"{min(numbers):g} to {max(numbers):g}"
    return ", ".join(f"{name} {n}" for name, n in sorted(Counter(labels).items()))


def _group_table(material: Material) -> pd.DataFrame:
    table = material.table("decoding_group", "group.parquet")
    return table.drop(columns=["job", "trained"]) if len(table) else table


def _scores(material: Material) -> Block:
    table = material.table("decoding_group", "scores.parquet").drop(columns="trained")
    filters = tuple(name for name in ("phase", "features", "decoder") if table[name].nunique() > 1)
    return Sheet(
        "scores", "Scores of every subject, each tested alone by permuted labels", table, filters, {"p": "job"}
    )
