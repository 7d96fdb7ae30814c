"""What models said of whom: the out-of-fold predictions of a study as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cortax.errors import ProjectError
from cortax.learning.search.evaluations import Evaluation
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.report.page import MadeJob, StudyJobs
from cortax.workloads.regions.report.material import Material

__all__ = ["predictions"]


def predictions(root: Path, log: dict[str, Any]) -> pd.DataFrame:
    """Return what every model predicted of every subject that it was not trained on.

    Returns
    -------
    DataFrame
        participant_id, group, parcellation (or ensemble), pipeline, target, repeat, fold (as in the scores), observed,
        predicted, probability, observed_class, predicted_class. Classes are numbers, from 0, and names beside them
        (empty of a regression). `probability` is that of class 1 or, of several classes, of the one that is predicted;
        NaN of a regression. A subject whose target is missing, and what failed, has no row.

    Raises
    ------
    ProjectError
        The last build has no scores, or a result was altered since.
    """
    jobs = log["jobs"]
    if "scores" not in jobs:
        raise ProjectError("the last build has no predictions: `cortax errors` says what failed")
    home = jobs_folder(root)
    all_jobs = [MadeJob(name, made, home / made, log["what"][name]["key"]) for name, made in jobs.items()]
    study = StudyJobs("", "", False, all_jobs)
    for method in ("split", "target", "evaluate", "collect", "ensemble", "scores"):
        for job in study.of(method):
            outputs.check(job.folder)
    material = Material(study)
    parts = []
    for parcellation, pipeline in material.evaluated:
        stored = material.evaluation(parcellation, pipeline)
        for target in range(len(stored.targets)):
            model = {"parcellation": parcellation, "pipeline": pipeline, "target": stored.targets[target]}
            parts += _of_target(material, stored.found, target, model)
    return pd.concat(parts, ignore_index=True)


def _of_target(material: Material, found: Evaluation, target: int, model: dict[str, str]) -> list[pd.DataFrame]:
    """One table a fold: the subjects that were tested in it."""
    folds, cohort, name = material.folds, material.cohort, model["target"]
    place = material.targets.names.index(name)
    truth, is_class = material.targets.values[:, place], material.targets.tasks[place] != "regression"
    classes = np.array(material.class_names[name], dtype=object)
    parts = []
    for fold, (test, repeat) in enumerate(zip(folds.test, folds.repeat, strict=True)):
        rows = np.flatnonzero(test & ~np.isnan(found.predictions[repeat, target]))
        values, labels = found.predictions[repeat, target, rows], found.labels[repeat, target, rows]
        probability = values if is_class else np.full(len(rows), np.nan)
        if target in found.probabilities:
            probability = found.probabilities[target][repeat, rows, labels.astype(np.int64)]
        parts.append(
            pd.DataFrame(
                {
                    "participant_id": np.array(cohort.subjects, dtype=object)[rows],
                    "group": cohort.groups[rows],
                    **model,
                    "repeat": int(repeat),
                    "fold": str(fold),
                    "observed": truth[rows],
                    "predicted": labels if is_class else values,
                    "probability": probability,
                    "observed_class": classes[truth[rows].astype(np.int64)] if is_class else "",
                    "predicted_class": classes[labels.astype(np.int64)] if is_class else "",
                }
            )
        )
    return parts
