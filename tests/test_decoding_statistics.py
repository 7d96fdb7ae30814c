"""Maps, permutations and tests of decoding, against scikit-learn's metrics and MNE's cluster test."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.ndimage import gaussian_filter
from sklearn.feature_selection import r_regression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score, roc_auc_score

from cortax.errors import StudyError
from cortax.learning import formulas
from cortax.workloads.decoding import inference
from cortax.workloads.decoding.described import Described
from cortax.workloads.decoding.inference import cluster_sums, flip_signs, group_test, subject_test, t_values
from cortax.workloads.decoding.scoring import NullOptions, contributions, label_shares, score_maps, subject_maps
from cortax.workloads.decoding.store import Votes

OPTIONS = NullOptions("balanced_accuracy", 0.0, 40, "within-groups", 3)


def made_votes(n_classes=3, n_trials=30, n_bins=4, n_models=5, groups=(), seed=0, effect=0.0):
    rng = np.random.default_rng(seed)
    y = np.sort(rng.permutation(np.arange(n_trials)) % n_classes)
    y[: n_trials // 5] = 0  # unbalanced
    n_outputs = 1 if n_classes == 2 else n_classes
    decisions = rng.normal(size=(n_bins, n_bins, n_trials, n_models, n_outputs))
    signal = np.where(y == 1, 1.0, -1.0)[:, None] if n_classes == 2 else np.eye(n_classes)[y]
    decisions += effect * signal[:, None]
    chosen = (decisions[..., 0] > 0).astype(int) if n_classes == 2 else decisions.argmax(axis=-1)
    votes = (chosen[..., None] == np.arange(n_classes)).sum(axis=3).astype(np.uint16)
    about = Described(tuple(map(str, y)), groups, ("Fz",), ("amplitude",), 1, tuple(range(n_bins)))
    made = Votes(votes, decisions.mean(axis=3).astype(np.float32), n_models, tuple("abcd"[:n_classes]), about)
    return made, y, chosen


def one_hot(y, n_classes):
    return np.eye(n_classes)[y]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_maps_are_means_of_scikit_learns_scores(n_classes):
    votes, y, chosen = made_votes(n_classes)
    for metric, score in (("accuracy", accuracy_score), ("balanced_accuracy", balanced_accuracy_score)):
        found = score_maps(contributions(votes, y, metric), one_hot(y, n_classes)[None])[0]
        for a, b in np.ndindex(4, 4):
            expected = np.mean([score(y, chosen[a, b, :, model]) for model in range(5)])
            assert found[a, b] == pytest.approx(expected, abs=1e-14)
    found = score_maps(contributions(votes, y, "roc_auc"), one_hot(y, n_classes)[None])[0]
    decisions = votes.decisions.astype(float)
    for a, b in np.ndindex(4, 4):
        if n_classes == 2:
            expected = roc_auc_score(y, decisions[a, b, :, 0])
        else:
            expected = np.mean([roc_auc_score(y == c, decisions[a, b, :, c]) for c in range(3)])
        assert found[a, b] == pytest.approx(expected, abs=1e-14)
    with pytest.raises(StudyError, match=r"statistics\.metric: got 'auc'"):
        contributions(votes, y, "auc")


@given(seed=st.integers(0, 10_000), metric=st.sampled_from(["accuracy", "balanced_accuracy", "roc_auc"]))
@settings(deadline=None, max_examples=30)
def test_a_recount_is_the_score_of_the_permuted_labels(seed, metric):
    votes, y, _ = made_votes(seed=seed)
    parts = contributions(votes, y, metric)
    permuted = np.array([np.random.default_rng([seed, k]).permutation(y) for k in range(5)])
    found = score_maps(parts, one_hot(permuted, 3))
    for labels, expected in zip(permuted, found, strict=True):
        # Scored anew: what each label contributes is worked out from the permuted labels themselves.
        again = score_maps(contributions(votes, labels, metric), one_hot(labels, 3)[None])[0]
        assert np.allclose(again, expected, rtol=0, atol=1e-14)


def made_predictions(n_trials=30, n_bins=3, groups=(), seed=0):
    """Predictions of continuous labels, of which the first bin's are constant."""
    rng = np.random.default_rng(seed)
    y = 500 + 30 * rng.normal(size=n_trials)
    predicted = 0.8 * y + 100 + 10 * rng.normal(size=(n_bins, n_bins, n_trials))
    predicted[0, 0] = 512.3
    about = Described(tuple(map(repr, y.tolist())), groups, ("Fz",), ("amplitude",), 1, tuple(range(n_bins)))
    return Votes(np.empty((n_bins, n_bins, n_trials, 0), np.uint16), predicted[..., None], 5, (), about), y


@pytest.mark.parametrize("metric", ["pearson_r", "r2"])
def test_maps_of_continuous_labels_are_the_scores_of_regions_whatever_the_labels(metric):
    votes, y = made_predictions()
    formula, everybody = getattr(formulas, metric), formulas.Resamples(np.ones((1, 30)))
    parts = contributions(votes, y, metric)
    permuted = np.array([np.random.default_rng(k).permutation(y) for k in range(5)])
    found = score_maps(parts, np.array([label_shares(labels, 0) for labels in [y, *permuted]]))
    for labels, scores in zip([y, *permuted], found, strict=True):
        for a, b in np.ndindex(3, 3):
            predicted = votes.decisions[a, b, :, 0]
            expected = r2_score(labels, predicted) if metric == "r2" else r_regression(predicted[:, None], labels)[0]
            # Of constant predictions scikit-learn has what rounding leaves, regions' formula has 0.
            assert scores[a, b] == pytest.approx(expected, abs=1e-12 if a + b else 1e-6)
            assert scores[a, b] == pytest.approx(formula(labels, predicted, everybody)[0], abs=1e-12)
    with pytest.raises(StudyError, match=r"statistics\.metric: got 'accuracy'.*pearson_r"):
        contributions(votes, y, "accuracy")


@pytest.mark.parametrize("exchange", ["within-groups", "whole-groups"])
@pytest.mark.parametrize("metric", ["pearson_r", "r2"])
def test_chance_of_continuous_labels_is_the_mean_over_permutations(metric, exchange):
    votes, y = made_predictions(groups=tuple(np.repeat(["r1", "r2", "r3", "r4", "r5", "r6"], 5)))
    found = subject_maps(votes, y, replace(OPTIONS, metric=metric, permutations=4000, exchange=exchange), "s1")
    spread = found.permuted.std(axis=0) / np.sqrt(4000)
    assert (np.abs(found.permuted.mean(axis=0)) < 5 * spread + 1e-12).all()
    assert (found.observed[1:] > 0.1).all()
    assert subject_test({"a": found.observed}, {"a": found.permuted})["a"].p.min() < 0.01


@pytest.mark.parametrize("exchange", ["within-groups", "whole-groups"])
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "roc_auc"])
def test_chance_is_the_mean_over_permutations(metric, exchange):
    groups = tuple(np.repeat(["r1", "r2", "r3", "r4", "r5", "r6"], 5))
    votes, y, _ = made_votes(groups=groups)
    y = np.random.default_rng(1).permutation(y)
    found = subject_maps(votes, y, replace(OPTIONS, metric=metric, permutations=4000, exchange=exchange), "s1")
    spread = found.permuted.std(axis=0) / np.sqrt(4000)
    assert (np.abs(found.permuted.mean(axis=0)) < 5 * spread + 1e-12).all()
    if metric != "accuracy" and exchange == "within-groups":
        alone = replace(votes, about=replace(votes.about, groups=()))
        plain = subject_maps(alone, y, replace(OPTIONS, metric=metric), "s1")
        assert np.allclose(plain.chance, 0.5 if metric == "roc_auc" else 1 / 3)


def test_permutations_respect_runs_and_depend_on_the_subject_alone():
    groups = tuple(np.repeat(["r1", "r2"], 15))
    votes, _, _ = made_votes(2, groups=groups)
    # Each run has one class only: within runs nothing can move.
    y = np.repeat([0, 1], 15)
    fixed = subject_maps(votes, y, OPTIONS, "s1")
    assert np.allclose(fixed.permuted, fixed.observed)
    assert np.allclose(fixed.observed, 0, atol=1e-12)
    votes, y, _ = made_votes()
    first, again, other = (subject_maps(votes, y, OPTIONS, name) for name in ("s1", "s1", "s2"))
    assert np.array_equal(first.permuted, again.permuted)
    assert not np.array_equal(first.permuted, other.permuted)
    more = subject_maps(votes, y, replace(OPTIONS, permutations=60), "s1")
    assert np.allclose(more.permuted[:40], first.permuted, rtol=0, atol=1e-14)


def test_smoothing_is_that_of_every_map():
    votes, y, _ = made_votes()
    plain, smooth = subject_maps(votes, y, OPTIONS, "s1"), subject_maps(votes, y, replace(OPTIONS, smoothing=1.0), "s1")
    assert np.allclose(smooth.observed, gaussian_filter(plain.observed, 1.0))
    assert np.allclose(smooth.permuted[7], gaussian_filter(plain.permuted[7], 1.0))


def maps_of(n_subjects=8, shape=(6, 6), effect=0.6, seed=0):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(n_subjects, *shape))
    maps[:, 1:4, 1:4] += effect
    return maps


def test_t_clusters_and_nulls_are_those_of_mne_over_all_flips():
    mne = pytest.importorskip("mne")
    maps = maps_of()
    test = group_test({"a": maps}, {}, nulls=["signs"], alpha=0.05, n_draws=100, seed=0)
    assert np.allclose(test.t["a"], stats.ttest_1samp(maps, 0).statistic, rtol=1e-10)
    # More flips than there are: MNE then tries all of them. It puts what was observed twice and leaves out the flip of
    # everybody, for which p is at most 1 / 2^8 higher.
    every = {"n_permutations": 1000, "tail": 1, "verbose": "error"}
    t, masks, p, null = mne.stats.permutation_cluster_1samp_test(
        maps, threshold=test.threshold, out_type="mask", **every
    )
    assert np.allclose(test.t["a"], t, rtol=1e-10)
    labels, sums = test.clusters["a"]
    order = [int(labels[mask][0]) for mask in masks]
    assert sorted(order) == list(range(1, len(sums) + 1))
    assert len(sums) > 1
    for number, mask in zip(order, masks, strict=True):
        assert np.array_equal(labels == number, mask)
        assert sums[number - 1] == pytest.approx(t[mask].sum())
    values, of_clusters = inference._flipped({"a": maps}, test.threshold, 100, 0)["a"]
    signs = np.concatenate(list(flip_signs(8, 100, 0)))
    assert np.allclose(values, [t_values(flip[:, None, None] * maps).max() for flip in signs], rtol=1e-10)
    everybody = signs.sum(axis=1).argmin()
    ours = np.append(np.delete(of_clusters, everybody), of_clusters[0])
    assert np.allclose(np.sort(ours), np.sort(null), rtol=1e-10, atol=1e-12)
    found = test.tests["signs"]["a"].cluster_p[np.array(order) - 1]
    assert np.allclose(found + (of_clusters[everybody] < sums[np.array(order) - 1]) / 256, p, rtol=0, atol=1e-12)


def test_the_largest_cluster_of_a_map_is_scipys():
    rng = np.random.default_rng(2)
    maps = rng.normal(size=(200, 7, 5))
    found = inference._largest_cluster(maps.reshape(200, -1), 0.4, 7, 5)
    expected = [max(cluster_sums(values, 0.4)[1], default=0.0) for values in maps]
    assert np.allclose(found, expected, rtol=1e-12)
    assert inference._largest_cluster(np.zeros((1, 35)), 0.4, 7, 5).tolist() == [0.0]


def test_all_flips_are_tried_once_and_many_subjects_are_drawn():
    signs = np.concatenate(list(flip_signs(6, 10, 0)))
    assert len({tuple(row) for row in signs}) == len(signs) == 64
    assert (signs[0] == 1).all()
    drawn = np.concatenate(list(flip_signs(inference.MOST_EXACT + 1, 5000, 0)))
    assert drawn.shape == (5001, inference.MOST_EXACT + 1)
    assert (drawn[0] == 1).all()
    assert abs(drawn[1:].mean()) < 0.02


def test_label_nulls_are_t_over_one_permuted_map_of_each_subject():
    rng = np.random.default_rng(3)
    maps, permuted = maps_of(5), rng.normal(size=(5, 30, 6, 6))
    test = group_test({"a": maps}, {"a": permuted}, nulls=["labels"], alpha=0.05, n_draws=300, seed=4)
    (drawn,) = inference.label_draws(5, 30, 300, 4)
    expected = [t_values(permuted[np.arange(5), row]).max() for row in drawn]
    assert np.allclose(test.tests["labels"]["a"].largest, expected)
    peak = test.t["a"].max()
    p = (1 + np.sum(np.array(expected) >= peak)) / 301
    assert test.tests["labels"]["a"].p.min() == pytest.approx(p)


def test_several_maps_are_corrected_together_by_the_same_flips():
    maps = {"a": maps_of(7), "b": maps_of(7, (3, 4), effect=0.0, seed=1)}
    both = group_test(maps, {}, nulls=["signs"], alpha=0.05, n_draws=100, seed=0).tests["signs"]
    alone = group_test({"a": maps["a"]}, {}, nulls=["signs"], alpha=0.05, n_draws=100, seed=0).tests["signs"]
    assert np.array_equal(both["a"].p, alone["a"].p)
    assert (both["a"].p_all >= both["a"].p).all()
    assert (both["a"].p_all > both["a"].p).any()
    assert np.array_equal(alone["a"].p, alone["a"].p_all)


def test_cells_where_all_subjects_are_alike():
    maps = np.zeros((4, 2, 2))
    maps[:, 0, 0] = 0.25
    t = t_values(maps)
    assert t[0, 0] == np.inf
    assert (t.ravel()[1:] == 0).all()
    test = group_test({"a": maps}, {}, nulls=["signs"], alpha=0.05, n_draws=100, seed=0).tests["signs"]["a"]
    assert test.p[0, 0] == 1 / 16


def test_one_subject_is_tested_by_its_own_permutations():
    votes, y, _ = made_votes(effect=1.0)
    found = subject_maps(votes, y, replace(OPTIONS, permutations=199), "s1")
    test = subject_test({"a": found.observed}, {"a": found.permuted})["a"]
    assert test.p.min() == 1 / 200
    nothing, y, _ = made_votes(seed=8)
    found = subject_maps(nothing, y, replace(OPTIONS, permutations=199), "s1")
    largest = found.permuted.reshape(199, -1).max(axis=1)
    p = (1 + np.sum(largest >= found.observed.max() - 1e-12)) / 200
    assert subject_test({"a": found.observed}, {"a": found.permuted})["a"].p.min() == pytest.approx(p)
