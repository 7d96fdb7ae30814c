"""Scores of a network: DREAM's candidates, scikit-learn's metrics, and gold standards as they come."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from cortax.errors import InputError
from cortax.workloads.network.truth import (
    GoldStandard,
    find_candidates,
    network_curves,
    network_scores,
    read_gold_standard,
)

GENES = ("a", "b", "c", "d")


def write(folder, text, name="gold.tsv"):
    (folder / name).write_text(text)
    return folder / name


def gold_of(*links, genes=GENES):
    return GoldStandard(frozenset(links), frozenset(genes), frozenset(genes))


def links_of(*rows):
    return pd.DataFrame(list(rows), columns=["regulator", "target", "importance"])


def test_three_columns_say_what_is_no_link(tmp_path):
    gold = read_gold_standard(write(tmp_path, "a\ta\t1\na\tb\t1\na\tc\t0\nb\tc\t1\n"))
    assert gold.links == {("a", "b"), ("b", "c")}
    assert (gold.regulators, gold.targets, gold.n_self) == ({"a", "b"}, {"a", "b", "c"}, 1)


def test_two_columns_with_and_without_a_header(tmp_path):
    for name, text in (("g.csv", '"Cause","Effect"\n"a","b"\nb,c\n\n'), ("g.txt", "a\tb\nb\tc\n")):
        gold = read_gold_standard(write(tmp_path, text, name))
        assert gold.links == {("a", "b"), ("b", "c")}
        assert gold.regulators == gold.targets == {"a", "b", "c"}


def test_genes_may_be_called_anything(tmp_path):
    assert read_gold_standard(write(tmp_path, "p44/42\tPIP 3\nfrom\tto\n")).links == {
        ("p44/42", "PIP 3"),
        ("from", "to"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nc\n", "line 2: two or three cells are needed, as many in all rows; found 1"),
        ("a\tb\t1\t2\n", "line 1: two or three cells"),
        ("a\tb\nb\t\n", "line 2: a regulator and a target are needed"),
        ("a\tb\t1\nb\ta\t0.5\n", "line 2: the third cell must be 0 or 1, found '0.5'"),
        ("a\tb\nb\ta\na\tb\n", "line 3: the link 'a' -> 'b' was given before"),
        ("a\tb\t0\na\ta\t1\n", "no true link between two genes"),
        ("source\ttarget\n", "no true link between two genes"),
    ],
)
def test_what_is_wrong_with_a_gold_standard(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_gold_standard(write(tmp_path, text))


def test_a_missing_gold_standard(tmp_path):
    with pytest.raises(InputError, match=r"none\.tsv: missing file"):
        read_gold_standard(tmp_path / "none.tsv")
    (tmp_path / "bytes.tsv").write_bytes(b"a\t\xff\n")
    with pytest.raises(InputError, match=r"bytes\.tsv: not UTF-8: byte 0xff at offset 2, line 1"):
        read_gold_standard(tmp_path / "bytes.tsv")


def test_by_hand():
    """Six candidates of three genes; the list ranks two, one of them true, and lacks another true one."""
    gold = gold_of(("a", "b"), ("b", "c"), genes="abc")
    found = network_scores(
        find_candidates(
            links_of(("a", "b", 0.9), ("c", "a", 0.5), ("a", "a", 7.0)), gold, regulators="abc", targets="abc"
        )
    )
    assert (found.n_candidates, found.n_true, found.n_unranked, found.n_outside) == (6, 2, 4, 0)
    # The first true link is before all four others; the second before half of the three it is level with.
    assert found.auroc == pytest.approx((4 + 1.5) / 8)
    assert found.aupr == pytest.approx(0.5 * 1 + 0.5 * 2 / 6)
    assert (found.auroc_of_chance, found.aupr_of_chance) == (0.5, pytest.approx(1 / 3))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), n_kept=st.integers(0, 90), n_values=st.sampled_from([3, 10**6]))
def test_scikit_learns_metrics_of_all_candidates(seed, n_kept, n_values):
    rng = np.random.default_rng(seed)
    genes = [f"g{i}" for i in range(10)]
    pairs = [(a, b) for a in genes for b in genes if a != b]
    true = rng.random(90) < 0.3
    true[:2] = [True, False]
    values = rng.integers(0, n_values, 90) / n_values
    kept = np.argsort(-values, kind="stable")[:n_kept]
    links = links_of(*((*pairs[i], values[i]) for i in rng.permutation(kept)))
    gold = gold_of(*(pair for pair, yes in zip(pairs, true, strict=True) if yes), genes=genes)
    found = network_scores(find_candidates(links, gold, regulators=genes, targets=genes))
    cut = np.full(90, -1.0)
    cut[kept] = values[kept]
    assert found.auroc == pytest.approx(roc_auc_score(true, cut))
    assert found.aupr == pytest.approx(average_precision_score(true, cut))
    assert found.n_unranked == 90 - n_kept


def test_genes_that_only_one_side_knows_are_left_out_and_counted():
    gold = gold_of(("a", "b"), ("a", "x"), genes="abcx")
    links = links_of(("a", "b", 3.0), ("a", "z", 9.0), ("z", "b", 8.0), ("a", "c", 1.0))
    found = network_scores(find_candidates(links, gold, regulators="az", targets="abcz"))
    assert (found.n_candidates, found.n_true, found.n_outside) == (2, 1, 1)
    assert found.auroc == found.aupr == 1


def test_only_one_kind_of_link_has_no_score():
    found = network_scores(find_candidates(links_of(("a", "b", 1.0)), gold_of(("a", "b")), regulators="a", targets="b"))
    assert np.isnan(found.auroc)
    assert np.isnan(found.aupr)
    assert found.aupr_of_chance == 1


def test_links_that_cannot_be_scored():
    gold = gold_of(("a", "b"))
    with pytest.raises(InputError, match="no regulator and target of the study are known"):
        network_scores(find_candidates(links_of(), gold, regulators="xy", targets="xy"))
    with pytest.raises(InputError, match=r"has no importance \(NaN\)"):
        network_scores(find_candidates(links_of(("a", "b", np.nan)), gold, regulators=GENES, targets=GENES))
    with pytest.raises(InputError, match="the link 'a' -> 'b' is listed twice"):
        network_scores(
            find_candidates(links_of(("a", "b", 1.0), ("a", "b", 2.0)), gold, regulators=GENES, targets=GENES)
        )


@pytest.mark.parametrize(("n_genes", "n_values", "tolerance"), [(12, 5, 1e-12), (12, 10**6, 1e-12), (150, 10**6, 2e-3)])
def test_areas_below_the_curves_are_the_scores(n_genes, n_values, tolerance):
    """Exactly where every point is kept; of 22,350 candidates few are."""
    rng = np.random.default_rng(5)
    genes = [f"g{i}" for i in range(n_genes)]
    pairs = [(a, b) for a in genes for b in genes if a != b]
    true = rng.random(len(pairs)) < 0.1
    values = (rng.integers(0, n_values, len(pairs)) + true * n_values / 3) / n_values
    gold = gold_of(*(pair for pair, yes in zip(pairs, true, strict=True) if yes), genes=genes)
    links = links_of(*((*pair, value) for pair, value in zip(pairs, values, strict=True)))
    candidates = find_candidates(links, gold, regulators=genes, targets=genes)
    curves = dict(iter(network_curves(candidates).groupby("curve")))
    assert max(map(len, curves.values())) <= 500
    roc, found = curves["roc"], curves["precision-recall"]
    scores = network_scores(candidates)
    assert auc(roc["x"], roc["y"]) == pytest.approx(scores.auroc, abs=tolerance)
    steps = (np.diff(found["x"]) * found["y"].to_numpy()[1:]).sum()
    assert steps == pytest.approx(scores.aupr, abs=tolerance)
    for curve in curves.values():
        assert curve["x"].is_monotonic_increasing
        assert (curve["x"].iloc[0], curve["x"].iloc[-1]) == (0, 1)


def test_only_one_kind_of_link_has_no_curve():
    links = links_of(("a", "b", 1.0))
    assert network_curves(find_candidates(links, gold_of(("a", "b")), regulators="a", targets="b")).empty
