"""Permutation tests in a build: what runs, what more of them cost, and that p is what the null distributions say."""

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

STUDY = "studies/mini.toml"
OLD = '[targets.old]\nkind = "regression"\ncolumn = "age"\n\n'


def table_of(project):
    return pd.read_parquet(project.root / "results/mini/permutations.parquet")


def nulls_of(project, name):
    with np.load(project.job(name) / "nulls.npz") as stored:
        return stored["values"]


def test_permutation_tests_of_a_study_that_grows(project):
    project.edit(STUDY, "[splits]", "[statistics]\npermutations = 100\n\n[splits]")
    assert project.run().made == ["permute", "permute", "permutation_tests"]
    before = nulls_of(project, "permute/blocks/ridge/0")
    assert before.shape == (2, 100, 6)

    # More of them keep the first ones; another target permutes nothing else.
    project.edit(STUDY, "permutations = 100", "permutations = 130")
    project.edit(STUDY, "[splits]", OLD + "[splits]")
    run = project.run()
    assert run.made.count("permute") == 6
    assert sum("permute/" in name for name in project.jobs()) == 8
    np.testing.assert_array_equal(nulls_of(project, "permute/blocks/ridge/0"), before)

    found, scores = table_of(project), project.scores()
    means = scores[scores["fold"] == "mean"].set_index(["parcellation", "pipeline", "target", "metric"])["value"]
    assert len(found) == len(means) == 6
    assert (found["n_permutations"] == 130).all()
    assert (found["n_joint"] == 130).all()
    tests = found.set_index(["parcellation", "pipeline", "target", "metric"])
    pd.testing.assert_series_equal(tests["value"].sort_index(), means.sort_index())
    first, more = before[0, :, 4], nulls_of(project, "permute/blocks/ridge/100")[0, :, 4]
    better = (np.r_[first, more] >= means["blocks", "ridge", "fluid", "r2"] - 1e-9).sum()
    assert tests["p"]["blocks", "ridge", "fluid", "r2"] == (better + 1) / 131
    assert (found["p_max"] >= found["p"] - 1e-12).all()

    shown = project.cortax("permutations", "mini", "--where", "target=fluid").stdout
    assert "130 permutations, whole-groups" in shown
    assert "2 rows" in shown


def test_another_exchange_permutes_anew_and_searches_nothing(project):
    before = table_of(project)
    project.edit(STUDY, "permutations = 130", 'permutations = 20\nexchange = "within-groups"\nparcellations = ["soft"]')
    assert set(project.run().made) == {"permute", "permutation_tests"}
    found = table_of(project)
    assert set(found["parcellation"]) == {"soft"}
    assert set(found["exchange"]) == {"within-groups"}
    assert (found["n_permutations"] == 20).all()
    assert not np.allclose(found["null_mean"], before[before["parcellation"] == "soft"]["null_mean"])


def test_a_wrong_pattern_is_named(project):
    project.edit(STUDY, 'parcellations = ["soft"]\n\n[targets.old]', 'parcellations = ["sofd"]\n\n[targets.old]')
    run = project.run(check=False)
    assert run.code != 0
    assert "statistics.parcellations: nothing matches" in run.text
    assert "did you mean 'soft'" in run.text
