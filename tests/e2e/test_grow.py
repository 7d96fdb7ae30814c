"""A study that grows, shrinks or is cut otherwise: what runs, and that no number depends on it."""

import json

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

STUDY = "studies/mini.toml"
OLD = '[targets.old]\nkind = "regression"\ncolumn = "age"\n\n'
SEX = '[targets.sex]\nkind = "classification"\npositive = "F"\n\n'


@pytest.fixture
def mended(project):
    """Put the study back after the test, and what it had found."""
    text = (project.root / STUDY).read_text()
    yield
    project.write(STUDY, text)
    assert project.run().made == [], "an edit that is taken back costs nothing"


def of_targets(table, *names):
    return table[table["target"].isin(names)].reset_index(drop=True)


def record(project, name):
    return json.loads((project.job(name) / "outputs.json").read_text())["files"]


def test_another_target(project, mended):
    before = project.scores()
    project.edit(STUDY, "[splits]", OLD + "[splits]")
    run = project.run()
    assert run.made == ["target", *["tune"] * 2, *["evaluate"] * 2, *["collect"] * 2, "scores"]
    after = project.scores()
    pd.testing.assert_frame_equal(of_targets(after, "fluid", "sex"), before)
    assert set(after["target"]) == {"fluid", "old", "sex"}
    assert {"tune/blocks/ridge", "tune/blocks/ridge/old", "collect/blocks/ridge"} <= set(project.jobs())
    assert project.run().made == []


def test_fewer_targets(project, mended):
    before = project.scores()
    project.edit(STUDY, SEX, "")
    assert project.run().made == ["collect", "collect", "scores"]
    pd.testing.assert_frame_equal(project.scores(), of_targets(before, "fluid"))


def test_a_target_that_becomes_another(project, mended):
    before = project.scores()
    project.edit(STUDY, 'positive = "F"', 'positive = "M"')
    run = project.run()
    assert run.made == ["target", *["tune"] * 2, *["evaluate"] * 2, *["collect"] * 2, "scores"]
    pd.testing.assert_frame_equal(of_targets(project.scores(), "fluid"), of_targets(before, "fluid"))


def test_blocks_are_searched_together_once_all_must_be(project, mended):
    project.edit(STUDY, "[splits]", OLD + "[splits]")
    project.run()
    apart = project.scores()
    # Written otherwise, this is the same list: the search cannot be reused, and finds the same.
    project.edit(STUDY, "n_configs = 3", "n_configs = 3\nspace = { alpha = { low = 1e-3, high = 1e6, log = true } }")
    run = project.run()
    assert run.made.count("tune") == 2
    assert "tune/blocks/ridge/old" not in project.jobs()
    pd.testing.assert_frame_equal(project.scores(), apart, rtol=1e-9)


def test_jobs_by_fold(project, mended):
    before = project.scores()
    whole = record(project, "evaluate/soft/ridge")
    project.edit(STUDY, "[evaluate]", '[grid]\nby_fold = ["so*"]\n\n[evaluate]')
    run = project.run()
    assert run.made == [*["tune"] * 3, *["evaluate"] * 3, "collect", "scores"]
    pd.testing.assert_frame_equal(project.scores(), before)
    collected = record(project, "collect/soft/ridge")
    assert {name: file["sha256"] for name, file in collected.items() if file["result"]} == {
        name: file["sha256"] for name, file in whole.items() if file["result"]
    }
    project.edit(STUDY, "[splits]", OLD.replace("old", "older") + "[splits]")
    run = project.run()
    assert run.made == ["target", *["tune"] * 4, *["evaluate"] * 4, *["collect"] * 2, "scores"]
    pd.testing.assert_frame_equal(of_targets(project.scores(), "fluid", "sex"), before)


def test_a_target_with_a_column_of_its_own(project, mended):
    """The usual way: a column more in the table, a section more in the study. Nobody else is read otherwise."""
    before = project.scores()
    path = project.root / "input/mini/participants.tsv"
    table = pd.read_csv(path, sep="\t")
    table["memory"] = table["fluid"] ** 2
    table.to_csv(path, sep="\t", index=False)
    project.edit(STUDY, "[splits]", OLD.replace("old", "memory").replace('column = "age"\n', "") + "[splits]")
    run = project.run()
    assert run.made == ["phenotype", *["target"] * 3, *["tune"] * 2, *["evaluate"] * 2, *["collect"] * 2, "scores"]
    assert run.text.count("nothing below needs to run") == 3
    pd.testing.assert_frame_equal(of_targets(project.scores(), "fluid", "sex"), before)


HUNGRY = """
import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifier

class Calm(RidgeClassifier):
    pass

class Hungry(Ridge):
    def fit(self, X, y):
        if y.mean() > 5:
            np.empty(1 << 50)
        return super().fit(X, y)
"""
PIPELINE = """[pipelines.hungry]
kind = "sklearn"
regression = "dev.hungry:Hungry"
classification = "dev.hungry:Calm"
parcellations = ["soft"]
n_configs = 2
space = { alpha = [2.0, 3.0] }

"""


def test_a_new_target_that_fails_costs_the_others_nothing(project, mended):
    project.write("dev/hungry.py", HUNGRY)
    project.edit(STUDY, "[evaluate]", PIPELINE + "[evaluate]")
    project.run()
    before = project.scores()
    project.edit(STUDY, "[splits]", OLD + "[splits]")  # their ages are above 5
    run = project.run(check=False)
    assert run.code == 1
    assert "tune/soft/hungry/old FAILED" in run.text
    after = project.scores()
    pd.testing.assert_frame_equal(of_targets(after, "fluid", "sex"), before)
    assert set(after[after["target"] == "old"]["pipeline"]) == {"ridge"}
    project.write("dev/hungry.py", HUNGRY.replace("y.mean() > 5", "y.mean() > 500"))
    project.edit(STUDY, PIPELINE, "")
    project.edit(STUDY, OLD, "")
    assert project.run().code == 0
