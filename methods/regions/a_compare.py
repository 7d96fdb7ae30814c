"""Compare pipelines on the same parcellation, and parcellations under the same pipeline."""

from functools import partial

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Compare pipelines on the same parcellation, and parcellations under the same pipeline"
depend_extra = manifest(__name__)
options = {
    "evaluations": [],  # parcellation and pipeline of each evaluation, in the same order
    "influences": [],  # the same of each job that measured influences of groups
    "pairs": "",
    "references": [],
    "metrics": [],
    "rope": {},
    "confidence": 0.95,
    "correction": "",
}
jobs = (["evaluate"], ["jackknife"])


def _models():
    import pandas as pd

    from cortax.learning.stats.influences import open_influences
    from cortax.learning.stats.models import ComparedModel

    measured = {
        (model["parcellation"], model["pipeline"]): source
        for model, source in zip(options.influences, jobs.jackknife, strict=True)
    }
    models = []
    for model, source in zip(options.evaluations, jobs.evaluate, strict=True):
        parcellation, pipeline = key = (model["parcellation"], model["pipeline"])
        reader = partial(open_influences, measured[key].path) if key in measured else None
        models.append(ComparedModel(parcellation, pipeline, pd.read_parquet(source.filename("scores.parquet")), reader))
    return models


def synthesis(job):
    import numpy as np

    from cortax.learning.stats.compared import compare_models, compare_over_targets, intervals_table
    from cortax.learning.stats.models import Asked

    outputs.check_all(jobs)
    asked = Asked(
        pairs=options.pairs,
        references=tuple(options.references),
        metrics=tuple(options.metrics),
        rope=options.rope,
        confidence=options.confidence,
        correction=options.correction,
    )
    models = _models()
    tables = {
        "comparisons": compare_models(models, asked),
        "over_targets": compare_over_targets(models, asked),
        "intervals": intervals_table(models, asked),
    }
    for name, table in tables.items():
        table.to_parquet(job.filename(f"{name}.parquet"), index=False)
    below = np.sum(tables["comparisons"]["p_fdr"] <= 0.05)
    print(f"{len(tables['comparisons'])} comparisons, {below} with p_fdr of 0.05 or less")
    names = [f"{name}.parquet" for name in tables]
    outputs.record(job.path, names, method=job.method, name=job.params.caption)
