"""Comparisons of models in a whole build: what runs, what is found, and where people look."""

import pandas as pd
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STUDY = "studies/mini.toml"
SECTION = "\n[comparisons]\nlimit = 30\n"
PIPELINE = '[pipelines.short]\nkind = "ridge"\nn_configs = 2\nparcellations = ["soft"]\n\n[evaluate]'


def tables(project):
    names = ("comparisons", "over_targets", "intervals")
    return {name: pd.read_parquet(project.root / f"results/mini/{name}.parquet") for name in names}


def test_comparisons_rest_on_what_is_there_and_grow_with_it(project):
    missing = project.cortax("compare", "mini", check=False)
    assert missing.returncode == 1
    assert "has no comparisons: put [comparisons] into its file" in missing.stderr

    project.edit(STUDY, "n_outer = 3", "n_outer = 3\nn_repeats = 2")  # of one split there is no p
    project.run()
    project.write(STUDY, (project.root / STUDY).read_text() + SECTION)
    assert project.run().made == ["jackknife", "jackknife", "compare"]
    found, scores = tables(project), project.scores()
    means = scores[scores["fold"] == "mean"].set_index(["parcellation", "target"])["value"]
    table = found["comparisons"].set_index("target")
    assert table.index.tolist() == ["fluid", "sex"]
    for target, row in table.iterrows():
        assert (row["kind"], row["within"], row["a"], row["b"]) == ("parcellations", "ridge", "blocks", "soft")
        assert row["difference"] == pytest.approx(means["blocks", target] - means["soft", target], abs=1e-12)
        assert row["p_left"] + row["p_rope"] + row["p_right"] == pytest.approx(1)
        assert row["low"] <= row["high"]
    value = found["intervals"].set_index(["parcellation", "target"])["value"]
    pd.testing.assert_series_equal(value.sort_index(), means.sort_index(), rtol=1e-12)
    assert set(found["over_targets"]["metric"]) == {"r2", "roc_auc"}

    project.edit(STUDY, "limit = 30", "limit = 30\nrope = { r2 = 0.2 }")
    project.edit(STUDY, "[evaluate]", PIPELINE)
    assert project.run().made == ["tune", "evaluate", "scores", "jackknife", "compare"]
    grown = tables(project)["comparisons"]
    assert list(grown.groupby(["kind", "within"]).size().items()) == [
        (("parcellations", "ridge"), 2),
        (("pipelines", "soft"), 2),
    ]
    wider = grown[grown["kind"] == "parcellations"].set_index("target")
    assert wider.loc["fluid", "p_rope"] > table.loc["fluid", "p_rope"]
    assert wider.loc["sex", "p_rope"] == table.loc["sex", "p_rope"]

    shown = project.cortax("compare", "mini", "--where", "kind=pipelines").stdout
    assert "2 rows" in shown
    assert "short" in shown
    assert "friedman" in project.cortax("compare", "mini", "--over-targets").stdout
    assert "6 rows" in project.cortax("compare", "mini", "--intervals").stdout
