"""What a study says of models: parameters that cortax sets, classifiers without probabilities, missing scores."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from cortax.brain.data.dropped import Dropped, read_dropped, write_dropped
from cortax.errors import SearchError
from cortax.learning.folds import make_folds
from cortax.learning.search.cells import Problem
from cortax.learning.search.pipelines import make_back, pipeline_kind
from cortax.learning.search.refit import evaluate_cell
from cortax.workloads.regions.tables import summary, unscored


@pytest.mark.parametrize("kind", ["ridge", "elastic", "svm", "lgbm", "sklearn"])
@pytest.mark.parametrize("parameter", ["n_jobs", "random_state"])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_what_the_pipeline_sets_itself_is_taken_or_refused_in_words_of_the_study(kind, parameter, task):
    forest = {task: f"sklearn.ensemble:RandomForest{'Regressor' if task == 'regression' else 'Classifier'}"}
    made = pipeline_kind(kind, forest if kind == "sklearn" else None)
    takes = kind in ("ridge", "elastic") and (parameter, task) == ("n_jobs", "classification")
    if kind == "sklearn" or takes:
        back = make_back(made, task, {parameter: 2}, seed=1)
        assert back.named_steps["estimate"].get_params()[parameter] == 2
        return
    told = f"space.{parameter}: the pipeline sets it itself|unexpected keyword argument '{parameter}'"
    with pytest.raises(SearchError, match=told):
        make_back(made, task, {parameter: 2}, seed=1)


@pytest.mark.parametrize(
    "name", ["linear_model:RidgeClassifier", "svm:LinearSVC", "svm:SVC", "linear_model:SGDClassifier"]
)
def test_classifiers_without_probabilities_are_calibrated(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = (X[:, :1] > 0) * 1.0
    kind = pipeline_kind("sklearn", {"classification": f"sklearn.{name}"})
    folds = make_folds(np.arange(60), n_outer=3, n_inner=2, strata=y[:, 0], seed=1)
    problem = Problem(
        regions=X, confounds=np.empty((60, 0)), targets=y, names=("sex",), tasks=("classification",), folds=folds,
        kind=kind.name, configs={"classification": [{}]}, scorers={"classification": "accuracy"}, seed=1,
    )  # fmt: skip
    found = evaluate_cell(problem, (0, 0), kind, [{}], 0)
    assert ((found.predictions > 0) & (found.predictions < 1)).all()
    assert (found.labels == y[found.rows, 0]).mean() > 0.8


def test_a_class_with_neither_probabilities_nor_decisions_is_refused_before_the_search():
    with pytest.raises(SearchError, match="Ridge has neither predict_proba nor decision_function"):
        pipeline_kind("sklearn", {"classification": "sklearn.linear_model:Ridge"}, name="own")


def test_scores_that_are_missing_are_told_with_the_reason(tmp_path):
    (tmp_path / "accelerator.conf").write_text("workdirs:\n\tmain ./workdirs/main\n")
    jobs = {"scores": "main-1", "evaluate/t/own": "main-0"}
    for job in jobs.values():
        (tmp_path / "workdirs" / "main" / job).mkdir(parents=True)
    rows = [("t", "own", target, fold, "r2", value) for target, fold, value in
            (("a", "mean", 0.5), ("b", "0", np.nan), ("b", "mean", np.nan))]  # fmt: skip
    table = pd.DataFrame(rows, columns=["parcellation", "pipeline", "target", "fold", "metric", "value"])
    table.to_parquet(tmp_path / "workdirs/main/main-1/scores.parquet")
    about = {"targets": ["a", "b"], "failures": [{"target": 1, "outer": 0, "message": "no convergence"}]}
    (tmp_path / "workdirs/main/main-0/models.json").write_text(json.dumps(about))
    assert unscored(tmp_path, {"jobs": jobs}) == ["t/own, target 'b': no r2 (NaN): no convergence"]
    assert unscored(tmp_path, {"jobs": {}}) == []


def test_a_summary_of_no_rows_has_none():
    """As of `cortax results STUDY --where metric=none`: pandas gives columns of no rows types of their own."""
    texts = {name: pd.Series(["x"], dtype="str") for name in ("fold", "metric", "target", "parcellation", "pipeline")}
    table = pd.DataFrame(texts | dict.fromkeys(("value", "low", "high", "n_subjects"), 1.0))
    assert len(summary(table[:0])) == 0


def test_a_participant_may_be_called_as_nothing_is(tmp_path):
    folders = [tmp_path / name for name in ("load", "split", "none")]
    for folder in folders:
        folder.mkdir()
    write_dropped(folders[0] / "dropped.csv", [Dropped("NA", "missing file: a.gii", "a.gii")])
    (folders[1] / "dropped.csv").write_text("participant_id,reason\nNA,lacks images\n1,lacks images\n")
    assert read_dropped(folders).to_dict("split")["data"] == [
        ["NA", "missing file: a.gii", "a.gii"],
        ["1", "lacks images", ""],
    ]
    assert read_dropped(folders[2:]).empty
