"""Measures of skill by their formulas, factors chosen on validation, and gains against SciPy's tests."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import r2_score, root_mean_squared_error

from cortax.report.blocks import Choice, Warned
from cortax.workloads.sequences.comparing import choices_table, counts_table, gains_table
from cortax.workloads.sequences.report.skills import section
from cortax.workloads.sequences.skill import skill

OPTIONS = {"metric": "nse", "correction": "bh", "confidence": 0.95, "alpha": 0.05}


def test_measures():
    rng = np.random.default_rng(0)
    observed = rng.gamma(2.0, size=300)
    predicted = observed + rng.normal(size=300)
    observed[:20], predicted[20:30] = np.nan, np.nan
    o, p = observed[30:], predicted[30:]
    found = skill(observed, predicted)
    assert found["n_days"] == 270
    np.testing.assert_allclose(found["nse"], r2_score(o, p))
    np.testing.assert_allclose(found["rmse"], root_mean_squared_error(o, p))
    np.testing.assert_allclose(found["bias"], p.mean() - o.mean())
    r, a, b = stats.pearsonr(o, p).statistic, p.std() / o.std(), p.mean() / o.mean()
    np.testing.assert_allclose(found["kge"], 1 - np.sqrt((r - 1) ** 2 + (a - 1) ** 2 + (b - 1) ** 2))


def test_what_is_not_defined_is_nan():
    constant = skill(np.full(5, 0.1), np.arange(5.0))
    assert np.isnan(constant["nse"])
    assert np.isnan(constant["kge"])
    assert constant["rmse"] == pytest.approx(np.sqrt(np.mean((np.arange(5) - 0.1) ** 2)))
    assert np.isnan(skill(np.full(5, np.nan), np.ones(5))["rmse"])
    assert np.isnan(skill(np.arange(5.0), np.full(5, np.inf))["rmse"])


def make_skill(shift, n_seeds=12, seed=0):
    """Models of three factors: on validation 0.5 is best, in the test period it differs from 0 by `shift`."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, n_seeds + 1):
        base = rng.normal(0.6, 0.05)
        for factor, validation in ((0.0, 0.5), (0.5, 0.7), (2.0, 0.6)):
            test = base + (shift + rng.normal(0, 0.01) if factor else 0)
            for period, value in (("validation", validation + rng.normal(0, 0.01)), ("test", test)):
                rows.append({"period": period, "target": "flow", "factor": factor, "seed": number, "nse": value})
    return pd.DataFrame(rows).assign(kge=lambda t: t["nse"], rmse=lambda t: -t["nse"])


def test_factors_are_chosen_on_validation_and_gains_tested_in_the_test_period():
    skills = {"up": make_skill(0.1), "down": make_skill(-0.1, seed=1), "same": make_skill(0.0, seed=2)}
    chosen = choices_table(skills, target="flow", metric="nse")
    assert chosen["factor"].tolist() == chosen["multi_task"].tolist() == [0.5] * 3
    gains = gains_table(skills, chosen, target="flow", options=OPTIONS)
    assert gains["verdict"].tolist() == ["gains", "loses", "neither"]
    part = skills["up"].query("period == 'test'").pivot(index="seed", columns="factor", values="nse")
    np.testing.assert_allclose(gains["gain"][0], (part[0.5] - part[0.0]).mean())
    np.testing.assert_allclose(gains["p"][0], stats.wilcoxon(part[0.5], part[0.0]).pvalue)
    test = stats.ttest_rel(part[0.5], part[0.0]).confidence_interval(0.95)
    np.testing.assert_allclose([gains["low"][0], gains["high"][0]], [test.low, test.high])
    np.testing.assert_allclose(gains["q"], stats.false_discovery_control(gains["p"]))
    counts = counts_table(gains, 0.95)
    assert counts["sites"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(counts["low"], stats.binomtest(1, 3).proportion_ci(method="exact").low)


def test_errors_that_fall_are_gains_too():
    skills = {"up": make_skill(0.1)}
    chosen = choices_table(skills, target="flow", metric="rmse")
    assert chosen["factor"].tolist() == [0.5]
    gains = gains_table(skills, chosen, target="flow", options={**OPTIONS, "metric": "rmse"})
    assert gains["gain"][0] > 0.05
    assert gains["verdict"].tolist() == ["gains"]


def test_the_test_period_has_no_part_in_the_choice():
    one, other = make_skill(0.1), make_skill(0.1)
    other.loc[other["period"] == "test", "nse"] *= -5
    tables = [choices_table({"a": table}, target="flow", metric="nse") for table in (one, other)]
    pd.testing.assert_frame_equal(*tables)


def test_models_that_diverged_are_left_out_and_no_model_is_no_verdict():
    table = make_skill(0.1)
    table.loc[(table["seed"] <= 3) & (table["factor"] == 0.5), ["nse", "kge", "rmse"]] = np.nan
    chosen = choices_table({"a": table}, target="flow", metric="nse")
    assert gains_table({"a": table}, chosen, target="flow", options=OPTIONS)["n_seeds"].tolist() == [9]
    table[["nse", "kge", "rmse"]] = np.nan
    chosen = choices_table({"a": table}, target="flow", metric="nse")
    gains = gains_table({"a": table}, chosen, target="flow", options=OPTIONS)
    assert gains["n_seeds"].tolist() == [0]
    assert gains["verdict"].tolist() == ["neither"]
    assert np.isnan(gains["p"]).all()


class Material:
    """What a page is made of, of one site."""

    def __init__(self, skill, means):
        self.skill, self._means = skill.assign(site="a", job="main-1"), means.assign(site="a", job="main-1")

    def table(self, method, file):
        return {"means.parquet": self._means}[file]


def test_the_page_has_baselines_and_tells_of_targets_that_do_not_vary():
    head = {"period": "test", "target": "flow"}
    means = pd.DataFrame(
        [
            {**head, "model": "networks", "factor": 0.0, "n_seeds": 12, "nse": 0.6, "rmse": 1.0, "n_days": 9},
            {**head, "model": "day of the year", "factor": np.nan, "n_seeds": 0, "nse": 0.25, "rmse": 2.0, "n_days": 9},
            {**head, "model": "linear", "factor": np.nan, "n_seeds": 0, "nse": 0.5, "rmse": 1.5, "n_days": 9},
        ]
    )
    page = section(Material(make_skill(0.1), means))
    figure = next(block for block in page.blocks if isinstance(block, Choice)).figures[0][1]
    assert "day of the year 0.250, linear 0.500" in figure.markup
    assert not [block for block in page.blocks if isinstance(block, Warned)]
    page = section(Material(make_skill(0.1), means.assign(nse=np.nan)))
    (warned,) = (block for block in page.blocks if isinstance(block, Warned))
    assert warned.text == "a: flow does not vary in test, so that NSE and KGE are not defined"
