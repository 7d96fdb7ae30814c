"""Forests for networks: scikit-learn's trees split by split, its forests on average, and the same bits whoever asks."""

import multiprocessing

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from cortax.errors import InputError, SearchError
from cortax.workloads.network.forests import ForestOptions, Regulators, gene_importances, gene_seed
from cortax.workloads.network.reference import reference_importances
from cortax.workloads.network.trees import Growth, boost, grow_extra_trees, grow_forest

METHODS = ("forest", "extra_trees", "grnboost", "lightgbm")
SKLEARN = {"forest": RandomForestRegressor, "extra_trees": ExtraTreesRegressor}


def expression(n_samples=60, n_genes=12, *, seed=0, decimals=None, zeros=0.0):
    """Genes that depend on the three before them, in single precision."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_samples, n_genes))
    for gene in range(3, n_genes):
        values[:, gene] += values[:, gene - 3 : gene] @ [0.3, 0.9, -0.5]
        values[:, gene] /= values[:, gene].std()
    values[rng.random(values.shape) < zeros] = 0.0
    rounded = values if decimals is None else values.round(decimals)
    return rounded.astype(np.float32).astype(np.float64)


def regulators_of(values):
    return Regulators.prepare(values, names_of(values))


def names_of(values):
    return [f"g{i}" for i in range(values.shape[1])]


def scaled(y):
    return (y - y.mean()) / y.std()


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("n_samples", [70, 5000])
def test_a_tree_is_sklearns(n_samples, decimals, bootstrap):
    """Large leaves, so that no two variables part the samples in the same way: which of them is taken is chance."""
    values = expression(n_samples, seed=3, decimals=decimals)
    times = np.random.default_rng(1).multinomial(n_samples, np.full(n_samples, 1 / n_samples))
    times = times if bootstrap else np.ones(n_samples, dtype=np.int64)
    X, min_leaf = values[:, :-1], 8 if n_samples < 100 else 40
    y = scaled(X.sum(axis=1) + np.random.default_rng(2).normal(size=n_samples))
    tree = DecisionTreeRegressor(min_samples_leaf=min_leaf, random_state=0).fit(X, y, sample_weight=times)
    wanted = tree.tree_.compute_feature_importances(normalize=False)
    every = np.arange(X.shape[1])
    ranks = regulators_of(X).ranks
    found = grow_forest(ranks, y, Growth(every, 1, 11, min_leaf, seed=5), times=times)
    assert np.count_nonzero(wanted) >= 2
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@given(seed=st.integers(0, 2**31 - 1), n_samples=st.integers(3, 40), zeros=st.sampled_from([0.0, 0.6]))
@settings(max_examples=40)
def test_a_full_tree_explains_what_sklearns_does(seed, n_samples, zeros):
    """Down to single samples many variables are as good; what they explain together does not depend on the choice."""
    values = expression(n_samples, 6, seed=seed, zeros=zeros)
    y = values[:, -1] if np.ptp(values[:, -1]) else np.arange(n_samples, dtype=float)
    times = np.random.default_rng(seed).integers(0, 3, n_samples)
    times[:2] = 1
    tree = DecisionTreeRegressor(random_state=0).fit(values[:, :-1], scaled(y), sample_weight=times)
    ranks = regulators_of(values[:, :-1]).ranks
    found = grow_forest(ranks, scaled(y), Growth(np.arange(5), 1, 5, min_leaf=1, seed=seed), times=times)
    assert (found >= 0).all()
    np.testing.assert_allclose(
        found.sum(), tree.tree_.compute_feature_importances(normalize=False).sum(), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("method", ["forest", "extra_trees"])
@pytest.mark.parametrize(("zeros", "max_features", "min_leaf"), [(0.0, "sqrt", 1), (0.7, 2, 1), (0.0, 4, 5)])
def test_forests_are_sklearns_on_average(method, zeros, max_features, min_leaf):
    values = expression(seed=7, zeros=zeros)
    options = ForestOptions(method, n_trees=4000, max_features=max_features, min_samples_leaf=min_leaf)
    found = gene_importances(regulators_of(values[:, :-1]), "target", values[:, -1], options)
    model = SKLEARN[method](300, max_features=options.n_drawn(11), min_samples_leaf=min_leaf, random_state=0)
    model.fit(values[:, :-1], scaled(values[:, -1]))
    trees = np.array([t.tree_.compute_feature_importances(normalize=False) for t in model.estimators_])
    # Of a variable that hardly any tree splits on, the spread is not well known.
    error = trees.std(axis=0) * np.sqrt(1 / 300 + 1 / 4000) + 2e-4
    assert (np.abs(found - trees.mean(axis=0)) < 4 * error).all()
    assert np.corrcoef(found, trees.mean(axis=0))[0, 1] > 0.97


def test_the_reference_is_the_same_quantity():
    values = expression(seed=2)
    options = ForestOptions(n_trees=300, max_features="all", min_samples_leaf=4)
    wanted = reference_importances(values, 4, values[:, 4], options)
    found = gene_importances(regulators_of(values), "g4", values[:, 4], options)
    assert wanted[4] == found[4] == 0
    assert wanted.sum() == pytest.approx(found.sum(), abs=0.02)
    assert np.corrcoef(wanted, found)[0, 1] > 0.99


def test_extra_trees_explain_all_variance_of_distinct_samples():
    values = expression()
    y = scaled(values[:, 0])
    found = grow_extra_trees(regulators_of(values).values, y, Growth(np.arange(1, 12), 30, 3, min_leaf=1, seed=1))
    assert found.sum() == pytest.approx(1)
    assert found[0] == 0


def test_boosting_of_all_samples_is_sklearns():
    values = expression(70, 8, seed=5)
    X, y = values[:, :-1], scaled(values[:, :-1].sum(axis=1) + np.random.default_rng(2).normal(size=70))
    model = GradientBoostingRegressor(learning_rate=0.01, n_estimators=40, max_depth=3, min_samples_leaf=8)
    wanted = 40 * model.fit(X, y).feature_importances_
    found = boost(regulators_of(X).ranks, y, Growth(np.arange(7), 40, 7, min_leaf=8, seed=0), share=1.0)
    assert np.count_nonzero(wanted) >= 3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


def grnboost2(X, y, seed):
    """By scikit-learn's trees, one after the other; return importances, normalised, times the number of trees."""
    rng, left, gains, better = np.random.default_rng(seed), y.copy(), [], []
    while len(gains) < 500 and not (len(gains) >= 25 and np.mean(better[-25:]) < 0):
        drawn = rng.permutation(len(y)) < int(0.9 * len(y))
        tree = DecisionTreeRegressor(max_depth=3, max_features=2, random_state=int(rng.integers(2**31)))
        step = 0.01 * tree.fit(X[drawn], left[drawn]).predict(X)
        better.append((left[~drawn] ** 2 - (left - step)[~drawn] ** 2).sum())
        left = left - step
        gains.append(tree.tree_.compute_feature_importances(normalize=False))
    return np.sum(gains, axis=0) / np.sum(gains) * len(gains)


def test_boosting_that_ends_by_itself_on_average():
    values = expression(40, 7, seed=3)
    X, y = values[:, :-1], scaled(values[:, 5] + 3 * np.random.default_rng(0).normal(size=40))
    regulators = regulators_of(X)
    ways = [ForestOptions("grnboost", n_trees=500, seed=seed) for seed in range(300)]
    found = np.array([gene_importances(regulators, "y", y, options) for options in ways])
    wanted = np.array([grnboost2(X, y, seed) for seed in range(15)])
    assert len(np.unique(found.sum(axis=1).round(6))) > 30, "each ends at its own time"
    error = np.sqrt(wanted.var(axis=0) / 15 + found.var(axis=0) / 300)
    assert (np.abs(found.mean(axis=0) - wanted.mean(axis=0)) < 4 * error).all()
    lengths = found.sum(axis=1), wanted.sum(axis=1)
    assert abs(np.mean(lengths[0]) - np.mean(lengths[1])) < 4 * np.sqrt(
        np.var(lengths[0]) / 300 + np.var(lengths[1]) / 15
    )


def test_boosting_is_lightgbms_without_the_gene_itself():
    values = expression(80)
    options = ForestOptions("lightgbm", n_trees=40, max_features="all", min_samples_leaf=3)
    found = gene_importances(regulators_of(values), "g5", values[:, 5], options)
    parameters = {
        "objective": "regression", "learning_rate": 0.01, "max_depth": 3, "num_leaves": 8, "bagging_freq": 1,
        "bagging_fraction": 0.9, "min_sum_hessian_in_leaf": 0.0, "min_data_in_leaf": 3, "min_data_in_bin": 1,
        "verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        "seed": gene_seed("g5", options),
    }  # fmt: skip
    data = lightgbm.Dataset(np.delete(values, 5, axis=1), label=scaled(values[:, 5]))
    wanted = lightgbm.train(parameters, data, num_boost_round=40).feature_importance("gain") / (80 * 40)
    np.testing.assert_allclose(np.delete(found, 5), wanted, rtol=1e-5)
    assert found[5] == 0


def all_genes(values, options, order):
    regulators = regulators_of(values)
    return {gene: gene_importances(regulators, f"g{gene}", values[:, gene], options) for gene in order}


def test_the_same_bits_in_any_order_and_process():
    values, ways = expression(), [ForestOptions(method, n_trees=20) for method in METHODS]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere = pool.starmap(all_genes, [(values, options, [11, 3]) for options in ways])
    for options, far in zip(ways, elsewhere, strict=True):
        here = all_genes(values, options, range(12))
        for found in (far, all_genes(values, options, [7, 3, 11])):
            assert all(np.array_equal(found[gene], here[gene]) for gene in found)


@pytest.mark.parametrize("method", METHODS)
def test_a_gene_and_its_seed(method):
    values, options = expression(), ForestOptions(method, n_trees=20)
    regulators = regulators_of(values)
    found = gene_importances(regulators, "g3", values[:, 3], options)
    assert found.shape == (12,)
    assert found.dtype == np.float64
    assert found[3] == 0
    assert (found >= 0).all()
    assert gene_importances(regulators, "other", values[:, 3], options)[3] > found.max()
    for changed in (ForestOptions(method, n_trees=20, seed=1), ForestOptions(method, n_trees=19)):
        assert not np.array_equal(gene_importances(regulators, "g3", values[:, 3], changed), found)


@given(data=st.data())
@settings(max_examples=25)
def test_ranks_are_all_that_a_forest_sees(data):
    values = expression(25, 6, seed=data.draw(st.integers(0, 99)))
    scale = data.draw(st.floats(0.01, 100))
    options = ForestOptions(n_trees=5)
    moved = np.sinh(values * scale / 20)
    one, other = regulators_of(values), regulators_of(moved)
    np.testing.assert_array_equal(one.ranks, other.ranks)
    found = [gene_importances(regulators, "g0", values[:, 0], options) for regulators in (one, other)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("method", METHODS)
def test_what_tells_nothing_gets_nothing(method):
    values, options = expression(), ForestOptions(method, n_trees=10)
    values[:, 2] = 5.0
    regulators = regulators_of(values)
    assert not gene_importances(regulators, "g2", values[:, 2], options).any(), "a constant target"
    assert gene_importances(regulators, "g0", values[:, 0], options)[2] == 0, "a constant regulator"
    alone = Regulators.prepare(values[:, :1], ["g0"])
    assert not gene_importances(alone, "g0", values[:, 0], options).any(), "no other regulator"


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_units_do_not_matter(scale):
    values, options = expression(), ForestOptions(n_trees=20)
    regulators = regulators_of(values)
    found = gene_importances(regulators, "g0", values[:, 0] * scale, options)
    np.testing.assert_allclose(found.sum(), gene_importances(regulators, "g0", values[:, 0], options).sum(), rtol=1e-6)


def test_a_planted_network_is_found():
    values = expression(150, 15, seed=4)
    found = all_genes(values, ForestOptions(n_trees=300), range(3, 15))
    assert all(np.argmax(row[:gene]) == gene - 2 for gene, row in found.items()), "of those before, the strongest"


def test_many_samples_have_wider_ranks():
    few, many = (regulators_of(np.arange(float(n))[:, None]) for n in (10, 70_000))
    assert few.ranks.dtype == np.uint16
    assert many.ranks.dtype == np.uint32
    assert many.ranks.max() == 69_999


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "forrest"}, "method: got 'forrest', must be one of .*did you mean 'forest'"),
        ({"max_features": "half"}, "max_features: got 'half'.*or a whole number"),
        ({"max_features": 0}, "max_features must be a whole number of at least 1, got 0"),
        ({"n_trees": 2.5}, "n_trees must be a whole number of at least 1, got 2.5"),
        ({"min_samples_leaf": True}, "min_samples_leaf must be a whole number"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(SearchError, match=message):
        ForestOptions(**options)


def test_how_many_are_drawn():
    assert [ForestOptions().n_drawn(n) for n in (1, 3, 99, 100)] == [1, 1, 9, 10]
    assert ForestOptions(max_features="all").n_drawn(7) == 7
    assert ForestOptions(max_features=50).n_drawn(7) == 7


def test_bad_matrices_and_targets():
    values = expression()
    with pytest.raises(InputError, match=r"values \(60, 12\) are not \(n_samples, 2\)"):
        Regulators.prepare(values, ["a", "b"])
    with pytest.raises(InputError, match="a name occurs more than once"):
        Regulators.prepare(values, ["a"] * 12)
    with pytest.raises(InputError, match="NaN, infinite or beyond single precision"):
        Regulators.prepare(values * np.inf, names_of(values))
    with pytest.raises(InputError, match="gene 'x': 60 finite values are needed, got shape"):
        gene_importances(regulators_of(values), "x", values[:5, 0], ForestOptions())
    with pytest.raises(InputError, match="gene 'x': 60 finite values"):
        gene_importances(regulators_of(values), "x", values[:, 0] * np.nan, ForestOptions())
