"""Importance of regions as jobs of a study: what runs when it is asked for, and when the study grows; and exports."""

import numpy as np
import pandas as pd
import pytest
from nilearn.surface import load_surf_data

from cortax.brain.parcellation.atlas import open_atlas
from cortax.learning.importance.found import open_importance
from cortax.learning.search.store_evaluation import open_evaluation

pytestmark = pytest.mark.slow

STUDY = "studies/mini.toml"
TREES = """
[pipelines.trees]
kind = "lgbm"
n_configs = 2
parcellations = ["soft"]
space = { n_estimators = 8, min_child_samples = 2 }

[importance]
n_repeats = 3

[splits]"""
OLD = '[targets.old]\nkind = "regression"\ncolumn = "age"\n\n[splits]'


def test_importance_of_a_study_that_grows(project):
    # Both at once: trees are fitted once more for it, what ridge found is taken from its evaluation.
    project.edit(STUDY, "[splits]", TREES.lstrip())
    run = project.run()
    assert sorted(run.made) == sorted(["tune", "evaluate", *["importance"] * 3, "scores"])
    evaluated = open_evaluation(project.job("evaluate/blocks/ridge"))
    ridge = open_importance(project.job("importance/blocks/ridge"))
    assert ridge.targets == evaluated.targets == ("fluid", "sex")
    np.testing.assert_array_equal(ridge.values["coefficient"], evaluated.found.coefficients)
    assert list(open_importance(project.job("importance/soft/trees")).values) == ["permutation"]

    # Another target: nothing is done again for the others. Another metric scores them, and no tree is fitted for it;
    # what rests on an evaluation is looked at again, and finds the same.
    project.edit(STUDY, "[splits]", OLD)
    project.edit(STUDY, '["roc_auc"]', '["roc_auc", "accuracy"]')
    run = project.run()
    new = ["target", *["tune", "evaluate", "collect", "importance", "importances"] * 3, "scores"]
    assert sorted(run.made) == sorted([*new, *["evaluate"] * 3, *["importance"] * 2])
    assert run.text.count("same results as") == 2
    whole = open_importance(project.job("importances/blocks/ridge"))
    assert whole.targets == ("fluid", "old", "sex")
    np.testing.assert_array_equal(whole.values["pattern"][[0, 2]], ridge.values["pattern"])
    apart = open_importance(project.job("importance/blocks/ridge/old"))
    np.testing.assert_array_equal(whole.values["pattern"][1], apart.values["pattern"][0])
    assert project.run().made == []

    asked = ["--parcellation", "soft", "--pipeline", "ridge", "--target", "old", "--kind", "pattern"]
    said = project.cortax("export", "mini", *asked, "--out", "out").stdout.split()
    assert [path.rpartition("_")[2] for path in said] == ["hemi-L.func.gii", "hemi-R.func.gii", "pattern-mean.csv"]
    values = np.concatenate([load_surf_data(str(project.root / path)) for path in said[:2]])
    table = pd.read_csv(project.root / said[2], dtype={"region": str})
    atlas = open_atlas(project.job("parcellate/soft"))
    assert table["region"].tolist() == list(atlas.regions)
    weights = atlas.weights.toarray()
    np.testing.assert_allclose(values, table["mean"] @ weights / weights.sum(axis=0), rtol=1e-5)
    wrong = project.cortax("export", "mini", *asked[:-1], "patern", "--out", "out", check=False)
    assert wrong.returncode == 1
    assert "did you mean 'pattern'" in wrong.stderr

    # A target that is also a confound, and no other finding.
    checked = project.cortax("check", "mini", check=False)
    assert checked.returncode == 1
    assert "confound 'age' equals target 'old' (24 subjects)" in checked.stdout
    assert checked.stdout.rstrip().endswith("checks, 1 findings")
