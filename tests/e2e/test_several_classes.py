"""A study with a target of three classes and an ordinal one: every step that is for them, and the page."""

import numpy as np
import pandas as pd
import pytest
from nilearn.surface import load_surf_data

from cortax.learning.search.store_evaluation import open_evaluation
from cortax.workflow.lookup.results import read_table

pytestmark = pytest.mark.slow

STUDY = "studies/mini.toml"
MORE = """
[targets.diagnosis]
kind = "classification"

[targets.grade]
kind = "ordinal"
order = ["mild", "moderate", "severe"]

[ensembles.all]
parcellations = ["*"]
pipelines = ["ridge"]
strategies = ["grid", "voted", "stacked"]

[pipelines.trees]
kind = "lgbm"
n_configs = 2
parcellations = ["soft"]
space = { n_estimators = { low = 2, high = 8, integer = true }, min_child_samples = 2 }
strategy = { staged = true, racing = true }

[importance]
n_repeats = 2

[comparisons]

[statistics]
permutations = 2
pipelines = ["ridge"]
parcellations = ["blocks"]
"""


def add_targets(project):
    path = project.root / "input/mini/participants.tsv"
    table = pd.read_csv(path, sep="\t")
    number = np.arange(len(table))
    table["diagnosis"] = np.array(["well", "ad", "mci"])[number % 3]
    table["grade"] = np.array(["severe", "mild", "moderate"])[(number + number // 3) % 3]
    table.to_csv(path, sep="\t", index=False)


@pytest.mark.timeout(1200)
def test_everything_is_built_and_shown(project):
    add_targets(project)
    project.write(STUDY, (project.root / STUDY).read_text() + MORE)
    project.edit(STUDY, "enabled = false # most tests look at other jobs, and it takes seconds", "enabled = true")
    project.run()

    scores = project.scores()
    means = scores[(scores["fold"] == "mean") & (scores["parcellation"] == "blocks")].set_index(["target", "metric"])
    assert {("diagnosis", "roc_auc"), ("grade", "cohen_kappa"), ("grade", "mean_absolute_error")} <= set(means.index)
    assert means["value"].notna().all()
    for parcellation in ("all/grid-2", "all/voted-2", "all/stacked-2"):
        own = scores[(scores["parcellation"] == parcellation) & (scores["fold"] == "mean")]
        assert {"diagnosis", "grade"} <= set(own["target"])
        assert own["value"].notna().all()
    trees = scores[(scores["pipeline"] == "trees") & (scores["fold"] == "mean")]
    assert {"diagnosis", "grade"} <= set(trees.loc[trees["value"].notna(), "target"])

    stored = open_evaluation(project.job("collect/blocks/ridge"))
    classes = stored.found.probabilities[stored.targets.index("diagnosis")]
    assert classes.shape == (1, 24, 3)
    np.testing.assert_allclose(classes.sum(axis=2), 1)
    assert not stored.found.failures
    place = stored.targets.index("grade")
    assert stored.found.class_models[place].coefficients.shape[:2] == (3, 2)

    permuted = pd.read_parquet(project.root / "results/mini/permutations.parquet")
    assert {"diagnosis", "grade"} <= set(permuted.loc[permuted["p"].notna(), "target"])
    compared = pd.read_parquet(project.root / "results/mini/comparisons.parquet")
    assert {"diagnosis", "grade"} <= set(compared.loc[compared["low"].notna(), "target"])

    page = (project.root / "results/mini/report.html").read_text()
    assert "Confusion matrix and recall of each class: diagnosis from" in page
    assert "Confusion matrix and recall of each class: grade from" in page
    assert "8 ad, 8 mci, 8 well" in page
    assert "8 mild, 8 moderate, 8 severe" in page
    assert "Numbers of classes: diagnosis: 0 ad, 1 mci, 2 well; grade: 0 mild, 1 moderate, 2 severe." in page
    assert "strongest regions of each model, target, kind, class and map" in page
    _looked_up(project)


def _looked_up(project):
    """Tables and exports name the classes."""
    asked = ["--where", "pipeline=ridge", "--where", "kind=pattern"]
    shown = project.cortax("results", "mini", "--table", "importance", *asked).stdout
    assert all(name in shown for name in ("> mild", "> moderate", "ad", "mci", "well"))
    importance = read_table(project.root, "mini", "importance")
    assert set(importance.loc[importance["kind"] == "permutation", "pipeline"]) == {"ridge", "trees"}
    weights = read_table(project.root, "mini", "weights")
    stacked = weights[weights["parcellation"] == "all/stacked-2"].set_index("target")
    assert set(stacked.loc["grade", "class"]) == {"> mild", "> moderate"}
    assert set(stacked.loc["diagnosis", "predicted"]) == {"ad", "mci", "well"}
    assert set(stacked.loc["sex", "class"]) == {""}
    assert stacked["weight"].notna().all()
    told = read_table(project.root, "mini", "predictions").set_index(["target", "parcellation", "pipeline"])
    assert {"all/voted-2", "all/stacked-2", "blocks"} <= {parcellation for _, parcellation, _ in told.index}
    for target, names in (("diagnosis", {"ad", "mci", "well"}), ("grade", {"mild", "moderate", "severe"})):
        part = told.loc[target, "blocks", "ridge"]
        assert len(part) == 24
        assert set(part["observed_class"]) == names
        assert set(part["predicted_class"]) <= names
        assert part["probability"].between(0, 1).all()
    model = ["--parcellation", "blocks", "--pipeline", "ridge", "--target", "diagnosis", "--kind", "pattern"]
    paths = project.cortax("export", "mini", *model, "--out", "out").stdout.split()
    table = pd.read_csv(project.root / paths[-1])
    assert list(table["class"].unique()) == ["ad", "mci", "well"]
    # A map for each class, in that order; regions of this atlas do not overlap.
    maps = load_surf_data(str(project.root / paths[0])).T
    assert len(maps) == 3
    for name, one in zip(("ad", "mci", "well"), maps, strict=True):
        means = table.loc[table["class"] == name, "mean"].to_numpy()
        values = np.unique(one[np.isfinite(one) & (one != 0)])
        assert len(values) > 1
        np.testing.assert_allclose(np.abs(values[:, None] - means).min(axis=1), 0, atol=1e-5 * np.abs(means).max())


def test_its_leaks_are_looked_for(project):
    found = project.cortax("check", "mini").stdout
    assert "pipeline ridge, ordinal (grade)" in found
    assert "pipeline ridge, classification (diagnosis)" in found


def test_what_is_not_for_several_classes_costs_a_second_and_no_night(project):
    project.edit(STUDY, 'classification = ["roc_auc"]', 'classification = ["f1"]')
    refused = project.run(check=False)
    assert refused.code != 0
    assert refused.made == []
    assert "evaluate.metrics.classification: target 'diagnosis' is of 3 classes: metric 'f1' cannot" in refused.text
