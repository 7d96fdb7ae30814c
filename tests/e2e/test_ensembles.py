"""Strategies over several parcellations, built through Exax: what runs when one more is asked for."""

import json

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

STUDY = "studies/mini.toml"
MORE = """
[parcellations.random-a]
kind = "random-growth"
n_regions = 6
seed = 1

[parcellations.random-b]
kind = "random-growth"
n_regions = 8
seed = 2

[ensembles.everything]
parcellations = ["*"]
n_members = [2]

[pipelines.ridge]"""


def test_ensembles_grow_with_the_study(project):
    project.edit(STUDY, "\n[pipelines.ridge]", MORE)
    first = project.run()
    assert first.made.count("inner") == 4
    assert first.made.count("ensemble") == 3
    assert first.made.count("tune") == 2, "the two parcellations that are new"
    table = project.scores()
    assert {f"everything/{name}-2" for name in ("grid", "voted", "stacked")} < set(table["parcellation"])
    assert set(table["pipeline"]) == {"ridge"}
    before = project.build_log()["jobs"]

    # Three in four: nothing but the two stacked models over them is worked on.
    project.edit(STUDY, "n_members = [2]", 'n_members = [2, 3, 4]\nstrategies = ["stacked"]')
    second = project.run()
    assert second.made == ["ensemble", "ensemble", "scores"]
    assert {name: job for name, job in project.jobs().items() if name in before and name != "scores"}.items() <= (
        before.items()
    )
    weights = pd.read_parquet(project.job("ensemble/everything/stacked-4/ridge") / "weights.parquet")
    members = [f"{name}/ridge" for name in ("blocks", "soft", "random-a", "random-b")]
    assert list(weights["member"].unique()) == members
    assert np.isfinite(weights["weight"]).all()
    assert (
        project.ax("urd", ":mini:ensemble/everything/stacked-3/ridge").stdout.strip()
        == project.jobs()["ensemble/everything/stacked-3/ridge"]
    )
    shown = project.cortax("results", "mini", "--where", "parcellation=everything/*").stdout
    assert "everything/stacked-4" in shown
    about = json.loads((project.job("ensemble/everything/stacked-3/ridge") / "models.json").read_text())
    assert about["columns"] == members[:3]
    assert about["failures"] == []
