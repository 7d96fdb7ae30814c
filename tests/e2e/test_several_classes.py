"""A study with a target of three classes and an ordinal one: every step that is for them, and the page."""

import numpy as np
import pandas as pd
import pytest

from cortax.learning.search.store_evaluation import open_evaluation

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
strategies = ["grid", "voted"]

[comparisons]
confidence = 0.80

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


def test_everything_is_built_and_shown(project):
    add_targets(project)
    project.write(STUDY, (project.root / STUDY).read_text() + MORE)
    project.edit(STUDY, "enabled = false # most tests look at other jobs, and it takes seconds", "enabled = true")
    project.run()

    scores = project.scores()
    means = scores[(scores["fold"] == "mean") & (scores["parcellation"] == "blocks")].set_index(["target", "metric"])
    assert {("diagnosis", "roc_auc"), ("grade", "cohen_kappa"), ("grade", "mean_absolute_error")} <= set(means.index)
    assert means["value"].notna().all()
    for parcellation in ("all/grid", "all/voted"):
        own = scores[(scores["parcellation"] == parcellation) & (scores["fold"] == "mean")]
        assert own["value"].notna().all()

    stored = open_evaluation(project.job("collect/blocks/ridge"))
    classes = stored.found.probabilities[stored.targets.index("diagnosis")]
    assert classes.shape == (1, 24, 3)
    np.testing.assert_allclose(classes.sum(axis=2), 1)
    assert not stored.found.failures

    permuted = pd.read_parquet(project.root / "results/mini/permutations.parquet")
    assert {"diagnosis", "grade"} <= set(permuted.loc[permuted["p"].notna(), "target"])
    compared = pd.read_parquet(project.root / "results/mini/comparisons.parquet")
    assert {"diagnosis", "grade"} <= set(compared.loc[compared["p"].notna(), "target"])

    page = (project.root / "results/mini/report.html").read_text()
    assert "Confusion matrix and recall of each class: diagnosis from" in page
    assert "Confusion matrix and recall of each class: grade from" in page
    assert "8 ad, 8 mci, 8 well" in page
    assert "8 mild, 8 moderate, 8 severe" in page


def test_its_leaks_are_looked_for(project):
    found = project.cortax("check", "mini").stdout
    assert "pipeline ridge, ordinal (grade)" in found
    assert "pipeline ridge, classification (diagnosis)" in found


def test_what_is_not_for_several_classes_costs_a_second_and_no_night(project):
    project.write(STUDY, (project.root / STUDY).read_text() + "\n[importance]\n")
    refused = project.run(check=False)
    assert refused.code != 0
    assert refused.made == []
    assert "importance: target 'diagnosis' is of 3 classes: importance is of regressions and two" in refused.text
