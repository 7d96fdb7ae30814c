"""Compare pipelines on the same parcellation, and parcellations under the same pipeline."""

from functools import partial

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Compare pipelines on the same parcellation, and parcellations under the same pipeline"
depend_extra = manifest(__name__)
options = {
    "evaluations": [],  # parcellation and pipeline of each evaluation, in the same order
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
    import pandas as pd

    from cortax.learning.stats.bootstrap import open_resampled
    from cortax.learning.stats.models import ComparedModel

    resampled = {
        (model["parcellation"], model["pipeline"]): source
        for model, source in zip(options.resampled, jobs.resample, strict=True)
    }
    models = []
    for model, source in zip(options.evaluations, jobs.evaluate, strict=True):
        parcellation, pipeline = key = (model["parcellation"], model["pipeline"])
        reader = partial(open_resampled, resampled[key].path) if key in resampled else None
        models.append(ComparedModel(parcellation, pipeline, pd.read_parquet(source.filename("scores.parquet")), reader))
    return models


def synthesis(job):
    import numpy as np

    from cortax.learning.cohort import open_cohort, open_targets
    from cortax.learning.folds import open_folds
    from cortax.learning.stats.compared import compare_models, compare_over_targets, intervals_table
    from cortax.learning.stats.comparisons import fold_ratio
    from cortax.learning.stats.models import Asked

    outputs.check_all(jobs)
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
