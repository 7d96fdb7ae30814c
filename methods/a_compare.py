"""Compare pipelines on the same parcellation, and parcellations under the same pipeline."""

from functools import partial

import numpy as np
import pandas as pd

from cortax.cohort import open_cohort, open_targets
from cortax.folds import open_folds
from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.stats.compared import compare_models
from cortax.stats.comparisons import fold_ratio
from cortax.stats.models import Asked, Model
from cortax.stats.over_targets import compare_over_targets
from cortax.stats.paired import intervals_table
from cortax.stats.store_resampled import open_resampled

description = "Compare pipelines on the same parcellation, and parcellations under the same pipeline"
depend_extra = manifest(__name__)
options = {
    "evaluations": [],  # "parcellation/pipeline" of each evaluation, in the same order
    "resampled": [],  # the same of each job of resamples; none where intervals were not asked for
    "pairs": "",
    "references": [],
    "metrics": [],
    "rope": {},
    "interval": "",
    "confidence": 0.95,
    "correction": "",
}
jobs = ("split", ["targets"], ["evaluate"], ["resample"])


def _models():
    resampled = dict(zip(options.resampled, jobs.resample, strict=True))
    models = []
    for name, source in zip(options.evaluations, jobs.evaluate, strict=True):
        parcellation, _, pipeline = name.rpartition("/")
        reader = partial(open_resampled, resampled[name].path) if name in resampled else None
        models.append(Model(parcellation, pipeline, pd.read_parquet(source.filename("scores.parquet")), reader))
    return models


def synthesis(job):
    for source in (jobs.split, *jobs.targets, *jobs.evaluate, *jobs.resample):
        outputs.check(source.path)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    targets = open_targets([source.path for source in jobs.targets], cohort)
    ratios = {name: fold_ratio(folds.test, y) for name, y in zip(targets.names, targets.values.T, strict=True)}
    asked = Asked(
        pairs=options.pairs,
        references=tuple(options.references),
        metrics=tuple(options.metrics),
        rope=options.rope,
        interval=options.interval,
        confidence=options.confidence,
        correction=options.correction,
    )
    models = _models()
    tables = {
        "comparisons": compare_models(models, ratios, asked),
        "over_targets": compare_over_targets(models, asked),
        "intervals": intervals_table(models, asked),
    }
    for name, table in tables.items():
        table.to_parquet(job.filename(f"{name}.parquet"), index=False)
    below = np.sum(tables["comparisons"]["p_fdr"] <= 0.05)
    print(f"{len(tables['comparisons'])} comparisons, {below} with p_fdr of 0.05 or less")
    names = [f"{name}.parquet" for name in tables]
    outputs.record(job.path, names, method=job.method, name=job.params.caption)
