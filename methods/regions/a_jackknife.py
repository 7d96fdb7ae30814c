"""Measure how far each group moves the scores of one evaluation."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Measure how far each group moves the scores of one evaluation"
depend_extra = manifest(__name__)
options = {
    "metrics": {},
}
jobs = ("split", ["targets"], "evaluate")


def prepare():
    from cortax.learning.cohort import open_cohort, open_targets
    from cortax.learning.folds import open_folds
    from cortax.learning.out_of_fold import out_of_fold
    from cortax.learning.scores import get_metric
    from cortax.learning.search.store_evaluation import open_evaluation

    outputs.check_all(jobs)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    whole = open_evaluation(jobs.evaluate.path)
    # A collection does without the targets of a block that failed.
    targets = open_targets([source.path for source in jobs.targets], cohort, whole.targets)
    given = {}
    for t, (name, task) in enumerate(zip(targets.names, targets.tasks, strict=True)):
        row = whole.targets.index(name)
        label = None if task == "regression" else whole.found.labels[:, row]
        prediction, probabilities = whole.found.predictions[:, row], whole.found.probabilities.get(row)
        found = out_of_fold(
            prediction,
            targets.values[:, t],
            folds.test,
            cohort.groups,
            label=label,
            probabilities=probabilities,
            target=name,
        )
        n_classes = 2 if probabilities is None else probabilities.shape[-1]
        given[name] = found, [get_metric(metric, task, n_classes) for metric in options.metrics[task]]
    return given, cohort.groups


def analysis(sliceno, slices, prepare_res):
    from cortax.learning.jackknife import group_influences

    given, groups = prepare_res
    return {
        name: ([metric.name for metric in metrics], group_influences(found, metrics, groups))
        for name, (found, metrics) in list(given.items())[sliceno::slices]
        if metrics
    }


def synthesis(job, analysis_res):
    from cortax.learning.stats.influences import save_influences

    found = dict(sorted(analysis_res.merge_auto().items()))
    outputs.record(job.path, save_influences(job.path, found), method=job.method, name=job.params.caption)
