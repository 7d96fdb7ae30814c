"""ComBat: numbers of neuroCombat and neuroHarmonize, nothing of test rows, and the same in every way to search.

`combat_oracle.npz` was made by neuroCombat 0.2.12 and neuroHarmonize 2.5.2 (numpy 2.4) of three made data sets, by

    whole = neuroCombat(X.T, covars, "SITE", continuous_cols=names_of_C)  # data: expected, gamma.star, delta.star
    model, expected_train = harmonizationLearn(X[train], covars[train])
    expected_test = harmonizationApply(X[~train], covars[~train], model)

where `covars` has the column SITE, and those of C as float32, which is what neuroCombat takes them for.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain import evaluate, search
from sklearn.base import clone
from sklearn.metrics import r2_score, roc_auc_score

from cortax.errors import FoldError, SearchError
from cortax.learning.cohort import Cohort, open_cohort, save_cohort
from cortax.learning.combat import ComBat, Harmonisation, check_sites
from cortax.learning.ensemble.inner import predict_inner
from cortax.learning.folds import make_folds
from cortax.learning.importance.cells import importance_of_chosen, importance_of_kept
from cortax.learning.leakage import check_fit
from cortax.learning.search import solvers
from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.front import fit_front
from cortax.learning.search.pipelines import PIPELINES, make, make_front
from cortax.learning.search.reference import columns
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.spaces import sample_configs

ORACLE = np.load(Path(__file__).parent / "combat_oracle.npz")
TASKS, NAMES = ("regression", "classification"), ("iq", "sex")


def case(name):
    return (ORACLE[f"{name}.{part}"] for part in ("X", "site", "C", "train"))


def with_sites(X, *others):
    return np.column_stack([X, *others]).astype(np.float64)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def sited(seed=0, n=90, n_regions=6, n_sites=3):
    """Regions with effects of sites, two covariates, and two targets; families are pairs."""
    rng = np.random.default_rng(seed)
    site = rng.integers(n_sites, size=n)
    age, sex = rng.normal(50, 9, n), rng.integers(2, size=n)
    X = rng.normal(size=(n, n_regions)) * np.array([0.5, 1.0, 2.0, 1.5])[site % 4, None] + 3.0 * site[:, None]
    X += 0.1 * age[:, None] + 100
    score = X[:, 0] - 3 * site + rng.normal(size=n)
    Y = np.column_stack([score, score + rng.normal(size=n) > np.median(score)]).astype(float)
    harmonise = Harmonisation.of([f"scanner {s}" for s in site], np.column_stack([age, sex]), ["age", "sex"], "error")
    return X, Y, rng.normal(size=(n, 1)), harmonise, make_folds(np.arange(n) // 2, n_outer=3, n_inner=2, seed=seed)


def problem_of(kind, X, Y, confounds, harmonise, folds, n_configs=3):
    space = {"n_estimators": 8, "min_child_samples": 5, "min_child_weight": 1e-3} if kind == "lgbm" else {}
    configs = {task: sample_configs(kind, task, n_configs, seed=0, space=space) for task in TASKS}
    return Problem(X, Y, TASKS, NAMES, folds, kind, configs, confounds=confounds, harmonise=harmonise)


@pytest.mark.parametrize("name", ["sites", "age_sex", "small"])
def test_numbers_are_those_of_neurocombat(name):
    X, site, C, _ = case(name)
    Z = with_sites(X, site, C)
    model = ComBat(C.shape[1]).fit(Z)
    close(model.transform(Z), ORACLE[f"{name}.expected"])
    close(model.gamma_star_, ORACLE[f"{name}.gamma"])
    close(model.delta_star_, ORACLE[f"{name}.delta"])


@pytest.mark.parametrize("name", ["sites", "age_sex"])
def test_new_subjects_get_the_numbers_of_neuroharmonize(name):
    X, site, C, train = case(name)
    Z = with_sites(X, site, C)
    model = ComBat(C.shape[1]).fit(Z[train])
    close(model.transform(Z[train]), ORACLE[f"{name}.expected_train"])
    close(model.transform(Z[~train]), ORACLE[f"{name}.expected_test"])


def test_the_order_and_scale_of_covariates_and_the_names_of_sites_do_not_matter():
    X, site, C, _ = case("age_sex")
    once = ComBat(2).fit_transform(with_sites(X, site, C))
    close(ComBat(2).fit_transform(with_sites(X, 7 - site, C[:, ::-1] * [1e5, 1e-5] + 3)), once)
    doubled = with_sites(X, site, C, C[:, :1] + C[:, 1:], np.ones(len(C)))
    close(ComBat(4).fit_transform(doubled), once)


def test_a_single_site_is_only_scaled():
    X, *_ = case("sites")
    n = len(X)
    found = ComBat().fit_transform(with_sites(X, np.zeros(n)))
    close(found - X.mean(axis=0), (X - X.mean(axis=0)) * np.sqrt((n - 1) / n))


def test_shift_and_scale_of_a_site_are_removed():
    rng = np.random.default_rng(0)
    n, p = 4000, 60
    site, true = np.arange(n) % 2, rng.normal(size=(n, p))
    shift, scale = rng.normal(2, 0.5, p), rng.uniform(1.5, 3, p)
    X = np.where(site[:, None] == 1, shift + scale * true, true)
    found = ComBat().fit_transform(with_sites(X, site))
    by_site = [found[site == s] for s in (0, 1)]
    assert np.abs(by_site[0].mean(axis=0) - by_site[1].mean(axis=0)).max() < 0.05  # shrunken: not to 0
    np.testing.assert_allclose(by_site[0].std(axis=0), by_site[1].std(axis=0), rtol=0.05)


def test_what_is_preserved_stays():
    rng = np.random.default_rng(1)
    n = 2000
    site = rng.integers(2, size=n)
    age = rng.normal(size=n) + 2 * site
    X = age[:, None] + 5 * site[:, None] + rng.normal(size=(n, 8))
    kept, lost = ComBat(1).fit_transform(with_sites(X, site, age)), ComBat().fit_transform(with_sites(X, site))
    slopes = [np.polyfit(age, values.mean(axis=1), 1)[0] for values in (kept, lost)]
    assert abs(slopes[0] - 1) < 0.05
    assert slopes[1] < 0.8


def test_untouched_columns_pass_and_names_stay():
    X, site, C, _ = case("age_sex")
    extra = np.arange(len(X))[:, None] * 2.0
    model = ComBat(2, n_untouched=1).fit(with_sites(X, extra, site, C))
    found = model.transform(with_sites(X, extra, site, C))
    np.testing.assert_array_equal(found[:, -1:], extra)
    np.testing.assert_array_equal(found[:, :-1], ComBat(2).fit_transform(with_sites(X, site, C)))
    assert list(model.get_feature_names_out())[-1] == "x12"
    assert clone(model).get_params() == model.get_params()


def test_features_of_which_nothing_is_left():
    X, site, C, _ = case("age_sex")
    odd = np.column_stack([np.full(len(X), 7e3), 5.0 * site, 3.0 + 2.0 * C[:, 0].astype(float)])
    found = ComBat(2).fit_transform(with_sites(odd, X, site, C))
    close(found[:, 3:], ORACLE["age_sex.expected"])
    np.testing.assert_allclose(found[:, 0], 7e3, rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], 5.0 * site.mean(), rtol=1e-9)
    np.testing.assert_allclose(found[:, 2], odd[:, 2], rtol=1e-9)


@pytest.mark.parametrize("twin", [False, True])
def test_one_feature_or_twins_are_finite(twin):
    X, site, *_ = case("sites")
    X = X[:, [0, 0]] if twin else X[:, :1]
    found = ComBat().fit_transform(with_sites(X, site))
    for s in (0, 1):
        np.testing.assert_allclose(found[site == s].mean(axis=0), X.mean(axis=0), rtol=1e-9)


def test_a_feature_that_a_site_measures_as_constant():
    X, site, *_ = case("sites")
    for some in (X[:, :1], X):
        X_flat = some.copy()
        X_flat[site == 1, 0] = 4.0
        assert np.isfinite(ComBat().fit_transform(with_sites(X_flat, site))).all()


def test_rounding_is_no_variance_of_a_site():
    rng = np.random.default_rng(0)
    site = np.repeat([0, 1], [23, 30])
    for n_features in (1, 4):
        X = rng.normal(size=(53, n_features))
        X[site == 0] = np.array([0.1, 0.2, 0.3, 0.7])[:n_features]  # what is left of 23 times .1 less its mean: 1e-17
        model = ComBat().fit(with_sites(X, site))
        np.testing.assert_array_equal(model.delta_star_[0], 1)
        moved = model.transform(with_sites(X[:2] + np.array([[0], [0.2]]), site[:2]))
        np.testing.assert_allclose(moved[1] - moved[0], 0.2)


def test_a_covariate_that_is_constant_in_training_has_no_effect():
    X, site, C, _ = case("age_sex")
    constant = np.full(len(X), 60.3)  # its mean is another number, by rounding
    model = ComBat(3).fit(with_sites(X, site, C, constant))
    np.testing.assert_array_equal(model.covariate_effects_[2], 0)
    expected = ComBat(2).fit(with_sites(X, site, C)).transform(with_sites(X, site, C))
    close(model.transform(with_sites(X, site, C, constant + 50)), expected)


def test_unseen_sites():
    X, site, C, _ = case("age_sex")
    Z = with_sites(X, site, C)
    seen, unseen = Z[site < 2], Z[site == 2]
    names = ("Oslo", "Graz", "Lima")
    with pytest.raises(ValueError, match=r"sites \['Lima'\] have fewer than two subjects.*unseen = 'pooled'"):
        ComBat(2, site_names=names).fit(seen).transform(unseen)
    pooled = ComBat(2, unseen="pooled").fit(seen)
    np.testing.assert_array_equal(pooled.transform(unseen), X[site == 2])
    with pytest.raises(ValueError, match=r"sites \['2'\]"):
        ComBat(2).fit(seen).transform(Z)
    # One subject has no variance: the site counts as unseen.
    one = np.vstack([seen, unseen[:1]])
    with pytest.raises(ValueError, match=r"\['Lima'\] have fewer than two"):
        ComBat(2, site_names=names).fit(one)
    close(ComBat(2, unseen="pooled").fit(one).transform(Z), pooled.transform(Z))
    with pytest.raises(ValueError, match="no site has two subjects"):
        ComBat(2, unseen="pooled").fit(Z[[0, -1]])


def test_a_category_that_training_rows_lack_counts_as_the_first():
    X, site, C, _ = case("age_sex")
    rare = np.zeros(len(X))
    train, test = np.arange(50), np.arange(50, 60)
    rare[test[:5]] = 1
    model = ComBat(3).fit(with_sites(X, site, C, rare)[train])
    np.testing.assert_array_equal(model.covariate_effects_[2], 0)
    expected = ComBat(2).fit(with_sites(X, site, C)[train]).transform(with_sites(X, site, C)[test])
    close(model.transform(with_sites(X, site, C, rare)[test]), expected)


def test_bad_input():
    X, site, *_ = case("age_sex")
    with pytest.raises(ValueError, match="cannot be told from sites"):
        ComBat(1).fit(with_sites(X, site, site == 1))
    with pytest.raises(ValueError, match="rank 12 for 20 subjects; at most half"):
        ComBat(12).fit(with_sites(X, site, np.random.default_rng(0).normal(size=(60, 12)))[::3])
    with pytest.raises(ValueError, match="unseen: got 'poled'"):
        ComBat(unseen="poled").fit(with_sites(X, site))
    with pytest.raises(ValueError, match="12 covariates are needed"):
        ComBat(12).fit(X)
    with pytest.raises(SearchError, match="not a finite number"):
        Harmonisation(np.array([[np.nan]]), ("a",))
    with pytest.raises(SearchError, match="numbers below 1"):
        Harmonisation(np.array([[1.0]]), ("a",))
    with pytest.raises(SearchError, match="shape"):
        Harmonisation(np.array([[0.0]]), ("a",), ("age",))
    X, Y, confounds, harmonise, folds = sited()
    short = replace(harmonise, site_columns=harmonise.site_columns[1:])
    with pytest.raises(SearchError, match="89 subjects with a site; the folds are of 90"):
        problem_of("ridge", X, Y, confounds, short, folds)


@pytest.mark.parametrize("n_confounds", [0, 1])
@pytest.mark.parametrize("holes", [False, True])
def test_the_fast_front_has_every_bit_of_the_pipeline(n_confounds, holes):
    X, _, confounds, harmonise, folds = sited()
    if holes:
        X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    confounds = confounds if n_confounds else None
    train, test = np.flatnonzero(~folds.test[0]), np.flatnonzero(folds.test[0])
    front, ours, ours_test = fit_front(X, confounds, train, test, harmonise)
    both, _ = columns(X, confounds, harmonise)
    plain = make_front(n_confounds, harmonise)
    np.testing.assert_array_equal(ours, plain.fit_transform(both[train]))
    np.testing.assert_array_equal(ours_test, plain.transform(both[test]))
    np.testing.assert_array_equal(front.center, plain[-1].center_)
    np.testing.assert_array_equal(front.harmoniser.gamma_star_, plain["harmonise"].gamma_star_)


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_every_search_and_refit_is_that_of_the_plain_loop(kind):
    X, Y, confounds, harmonise, folds = sited()
    X[3, 2] = Y[4, 0] = Y[8, 1] = np.nan
    problem, pipeline = problem_of(kind, X, Y, confounds, harmonise, folds), PIPELINES[kind]
    found, expected = solvers.search(problem, pipeline), search(problem, pipeline)
    assert not found.failures
    np.testing.assert_allclose(found.scores[0], expected.scores[0], atol=2e-3)
    # One subject on the other side of the threshold makes a difference to this one.
    assert np.isclose(found.scores[1], expected.scores[1], atol=2e-3).mean() > 0.8
    plain = evaluate(problem, pipeline, expected.scores)
    unlike = evaluate(replace(problem, harmonise=None), pipeline, expected.scores)
    moved = []
    for batch in solvers.plan_batches(problem):
        scores = {t: expected.scores[t, batch.outer] for t in batch.targets}
        configs = {t: problem.configs[problem.tasks[t]] for t in batch.targets}
        cells = evaluate_batch(problem, batch, pipeline, scores=scores, configs=configs)
        inner = predict_inner(problem, batch, pipeline, scores=scores, configs=configs)
        for (target, outer), cell in cells.items():
            assert not cell.failure
            assert not inner[target, outer].failure
            theirs, others = (found.predictions[0, target, cell.rows] for found in (plain, unlike))
            np.testing.assert_allclose(cell.predictions, theirs, atol=0.04 * np.ptp(theirs))
            moved.append(np.abs(cell.predictions - others).max() / max(np.ptp(theirs), 1e-9))
    assert np.median(moved) > 0.1


@pytest.mark.parametrize("kind", ["ridge", "svm"])
def test_test_rows_change_nothing_that_is_fitted(kind):
    X, Y, confounds, harmonise, folds = sited()
    X, n_confounds = columns(X, confounds, harmonise)
    for t, task in enumerate(TASKS):
        config = sample_configs(kind, task, 1, seed=0)[0]
        model = make(PIPELINES[kind], task, config, n_confounds=n_confounds, harmonise=harmonise, seed=0)
        y = Y[:, t] if task == "regression" else Y[:, t].astype(int)
        assert check_fit(model, X, y, test=folds.test[0]) == []


def test_other_sites_and_covariates_of_test_rows_change_no_score_of_their_fold():
    X, Y, confounds, harmonise, folds = sited()
    before = solvers.search(problem_of("ridge", X, Y, confounds, harmonise, folds), PIPELINES["ridge"])
    changed = harmonise.site_columns.copy()
    test = folds.test[1]
    changed[test] = np.column_stack([2 - changed[test, 0], -3 * changed[test, 1], 1 - changed[test, 2]])
    other = replace(harmonise, site_columns=changed)
    after = solvers.search(problem_of("ridge", X, Y, confounds, other, folds), PIPELINES["ridge"])
    assert before.scores[:, 1].tobytes() == after.scores[:, 1].tobytes()
    assert (before.scores[:, 0] != after.scores[:, 0]).all()


def confounded(seed, n=400):
    """Two sites with other shares of patients, whose regions differ in nothing but by site; region 0 has the score."""
    rng = np.random.default_rng(seed)
    site = np.arange(n) % 2
    patient = rng.random(n) < np.where(site == 1, 0.85, 0.15)
    X = rng.normal(size=(n, 20)) * np.where(site == 1, 2.0, 1.0)[:, None] + 1.5 * site[:, None]
    score = (X[:, 0] - 1.5 * site) / np.where(site == 1, 2.0, 1.0) + 0.5 * rng.normal(size=n)
    return X, np.column_stack([score, patient]).astype(float), Harmonisation.of(site, np.zeros((n, 0)), [], "error")


def test_what_a_site_tells_of_a_target_is_gone_and_a_true_effect_stays():
    X, Y, harmonise = confounded(0)
    folds = make_folds(np.arange(len(X)), n_outer=3, n_inner=2, seed=0)
    scores = {}
    for name, sites in (("without", None), ("with", harmonise)):
        problem = problem_of("ridge", X, Y, None, sites, folds, 12)
        found = evaluate(problem, PIPELINES["ridge"], solvers.search(problem, PIPELINES["ridge"]).scores)
        predicted = found.predictions[0]
        scores[name] = r2_score(Y[:, 0], predicted[0]), roc_auc_score(Y[:, 1], predicted[1])
    assert scores["without"][1] > 0.75
    assert abs(scores["with"][1] - 0.5) < 0.07
    assert scores["with"][0] > 0.7 > scores["without"][0]


@pytest.mark.parametrize("kind", ["ridge", "svm", "lgbm"])
def test_importance_permutes_harmonised_regions(kind):
    X, Y, confounds, harmonise, folds = sited()
    X[3, 2] = np.nan
    problem, pipeline = problem_of(kind, X, Y, confounds, harmonise, folds, 1), PIPELINES[kind]
    batch = Batch(1, (0,))
    configs = {0: problem.configs["regression"]}
    scores = {0: np.ones((1, 2))}
    found = importance_of_chosen(problem, batch, pipeline, scores=scores, configs=configs, n_repeats=3)[0, 1]
    assert not found.failure
    # The same problem of regions that were harmonised beforehand, which is no leak for this fold.
    train = np.flatnonzero(~folds.test[1] & ~np.isnan(Y[:, 0]))
    both, _ = columns(X, confounds, harmonise)
    before = make_front(1, harmonise)[:2].fit(both[train])
    ready = replace(problem, regions=before.transform(both)[:, : X.shape[1]], harmonise=None)
    expected = importance_of_chosen(ready, batch, pipeline, scores=scores, configs=configs, n_repeats=3)[0, 1]
    assert sorted(found.values) == sorted(expected.values)
    for name, values in expected.values.items():
        np.testing.assert_allclose(found.values[name], values, rtol=1e-6, atol=1e-6 * np.abs(values).max())
    if kind == "ridge":
        kept = evaluate(problem, pipeline, np.ones((2, 3, 1, 2)))
        of_kept = importance_of_kept(problem, batch, kept, n_repeats=3)[0, 1]
        np.testing.assert_allclose(of_kept.values["permutation"], found.values["permutation"], atol=1e-9)


def test_problems_and_cohorts_keep_their_sites(tmp_path):
    X, Y, confounds, harmonise, folds = sited()
    problem = problem_of("ridge", X, Y, confounds, harmonise, folds)
    again = Problem.unpack(*problem.pack())
    np.testing.assert_array_equal(again.harmonise.site_columns, harmonise.site_columns)
    assert again.harmonise.site_names == harmonise.site_names == ("scanner 0", "scanner 1", "scanner 2")
    assert Problem.unpack(*replace(problem, harmonise=None).pack()).harmonise is None
    subjects = tuple(f"sub-{n}" for n in range(len(X)))
    groups = np.array(subjects)
    save_cohort(tmp_path, Cohort(subjects, confounds, ("c",), groups, harmonise))
    opened = open_cohort(tmp_path).harmonise
    assert (opened.site_names, opened.preserved, opened.unseen) == (harmonise.site_names, ("age", "sex"), "error")
    np.testing.assert_array_equal(opened.site_columns, harmonise.site_columns)
    save_cohort(tmp_path, Cohort(subjects, confounds, ("c",), groups))
    assert open_cohort(tmp_path).harmonise is None
    assert "harmonise" not in (tmp_path / "cohort.json").read_text()


def test_training_parts_that_lack_a_site():
    *_, harmonise, folds = sited()
    assert check_sites(harmonise, folds) == []
    sites = np.array([f"s{n:.0f}" for n in harmonise.site_columns[:, 0]], dtype="U9")
    sites[[5, 40]] = "rare"
    few = Harmonisation.of(sites, harmonise.site_columns[:, 1:], ["age", "sex"], "error")
    with pytest.raises(FoldError, match=r"outer fold \d.*sites \['rare'\] have fewer than two training subjects"):
        check_sites(few, folds)
    (note,) = check_sites(replace(few, unseen="pooled"), folds)
    assert "site 'rare' has no effect of its own in" in note
    assert "of 9 training parts" in note
    # Of those who have a target, some lack a site that others have.
    known = sites != "s1"
    known[np.flatnonzero(~known)[0]] = True
    with pytest.raises(FoldError, match="scanner 1"):
        check_sites(harmonise, folds, known | (sites == "rare"))
    same = Harmonisation.of(sites, np.column_stack([sites == "s0"]), ["scanner"], "pooled")
    with pytest.raises(FoldError, match="outer fold 0, ComBat: preserved covariates cannot be told from sites"):
        check_sites(same, folds)
    alone = Harmonisation.of(np.arange(len(sites)).astype(str), np.zeros((len(sites), 0)), [], "pooled")
    with pytest.raises(FoldError, match="needs a site with two training subjects"):
        check_sites(alone, folds)
