"""Folds: groups never cross, every subject is tested once, and what cannot work is said."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.errors import FoldError, ProjectError
from cortax.learning.folds import Folds, check_folds, check_targets, fold_parts, make_folds, open_folds, save_folds

KINDS = ["regression", "classification"]


def families(n_subjects=60, n_families=40, seed=0):
    return np.random.default_rng(seed).integers(0, n_families, n_subjects)


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 25), min_size=30, max_size=60),
    n_outer=st.integers(2, 4),
    n_inner=st.integers(2, 3),
    n_repeats=st.integers(1, 2),
    seed=st.integers(0, 1000),
    stratified=st.booleans(),
)
def test_groups_never_cross(groups, n_outer, n_inner, n_repeats, seed, stratified):
    groups = np.array(groups)
    strata = np.arange(len(groups)) % 2 if stratified else None
    try:
        folds = make_folds(
            groups,
            n_outer=n_outer,
            n_inner=n_inner,
            n_repeats=n_repeats,
            strata=strata,
            seed=seed,
        )
    except FoldError:
        # Few groups, or strata of which every fold cannot have its share.
        assert len(np.unique(groups)) < 12 or stratified
        return
    assert folds.n_outer == n_outer * n_repeats
    for k in range(folds.n_outer):
        train = ~folds.test[k]
        assert not set(groups[train]) & set(groups[folds.test[k]])
        assert (folds.valid[k].sum(axis=0) == train).all()
        for valid in folds.valid[k]:
            assert valid.any()
            assert not set(groups[valid]) & set(groups[train & ~valid])
    for r in range(n_repeats):
        assert (folds.test[folds.repeat == r].sum(axis=0) == 1).all()


@pytest.mark.parametrize("stratified", [False, True])
def test_order_of_subjects_does_not_matter(stratified):
    groups = families()
    age = np.random.default_rng(1).normal(size=60) if stratified else None
    order = np.random.default_rng(2).permutation(60)
    folds = make_folds(groups, strata=age, seed=3)
    shuffled = make_folds(groups[order], strata=None if age is None else age[order], seed=3)
    np.testing.assert_array_equal(folds.test[:, order], shuffled.test)
    np.testing.assert_array_equal(folds.valid[:, :, order], shuffled.valid)


def test_seeds_and_repeats_differ():
    groups = families()
    folds = make_folds(groups, n_repeats=2, seed=0)
    assert (folds.test[:5] != folds.test[5:]).any()
    assert (folds.test[:5] != make_folds(groups, seed=1).test).any()
    np.testing.assert_array_equal(folds.test[:5], make_folds(groups, seed=0).test)


def test_strata_are_balanced():
    sick = np.zeros(100)
    sick[:10] = 1
    folds = make_folds(np.arange(100), strata=sick, n_outer=5, seed=0)
    np.testing.assert_array_equal(folds.test @ sick, np.full(5, 2))


def test_continuous_strata_are_cut_at_quantiles():
    age = np.random.default_rng(0).normal(size=200)
    age[:20] = np.nan
    spread = []
    for strata in (age, None):
        folds = make_folds(np.arange(200), strata=strata, n_outer=5, n_bins=4, seed=0)
        spread.append(np.ptp([np.nanmean(age[test]) for test in folds.test]))
        if strata is not None:
            np.testing.assert_array_equal(folds.test @ np.isnan(age).astype(int), np.full(5, 4))
    assert spread[0] < spread[1]


def test_leave_one_site_out():
    sites = np.repeat(["a", "b", "c", "d"], 10)
    folds = make_folds(np.arange(40) // 2, scheme="leave-one-site-out", sites=sites, n_inner=3, seed=0)
    for test, valid in zip(folds.test, folds.valid, strict=True):
        assert len(set(sites[test])) == 1
        assert [len(set(sites[v])) for v in valid] == [1, 1, 1]


def test_labels_may_be_text_with_mixed_types():
    groups = np.array(["f1", 2, "f3", 4, "f5", 6, "f7", 8], dtype=object)
    assert make_folds(groups, n_outer=2, n_inner=2, seed=0).n_outer == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": [1, 1, 2, 2, 3, 3]}, "outer: 5 folds need at least 5 groups; there are 3"),
        (
            {"groups": np.arange(6), "n_outer": 2, "n_inner": 4},
            "inner folds of outer fold 0: 4 folds need at least 4 groups; there are 3",
        ),
        ({"groups": [1.0, np.nan, 2.0]}, r"groups: 1 subjects have no value \(the first is row 1\)"),
        ({"groups": ["a", None]}, r"groups: 1 subjects have no value \(the first is row 1\)"),
        ({"groups": np.ones((3, 2))}, r"groups must hold one value a subject; got shape \(3, 2\)"),
        ({"groups": np.arange(9), "scheme": "kfold"}, "scheme: got 'kfold', must be one of"),
        ({"groups": np.arange(9), "n_inner": 1}, "n_inner must be at least 2; got 1"),
        ({"groups": np.arange(9), "seed": -1}, "seed must be at least 0; got -1"),
        ({"groups": np.arange(9), "strata": [1, 2]}, r"strata must hold one value .* \(2,\), 9 subjects"),
        (
            {"groups": np.arange(9), "strata": np.repeat([0, 1, 2], 3), "n_outer": 5},
            "outer: 5 folds: strata are too small",
        ),
        ({"groups": np.arange(9), "scheme": "leave-one-site-out"}, "needs sites"),
        (
            {"groups": [0, 0, 1], "scheme": "leave-one-site-out", "sites": [0, 1, 1]},
            "1 groups span two sites or more .*group of row 0",
        ),
        (
            {"groups": [0, 1, 2], "scheme": "leave-one-site-out", "sites": [0, 0, 0]},
            "at least 2 sites; got 1",
        ),
    ],
)
def test_what_cannot_be_split(arguments, message):
    with pytest.raises(FoldError, match=message):
        make_folds(**{"seed": 0, **arguments})


def edited(folds, **changes):
    return Folds(**{"test": folds.test, "valid": folds.valid, "repeat": folds.repeat, **changes})


def test_check_folds_finds_every_damage():
    groups = np.arange(30) // 2
    folds = make_folds(groups, n_outer=3, seed=0)
    check_folds(folds, groups)
    test, valid = folds.test.copy(), folds.valid.copy()
    row = int(np.flatnonzero(~test[0])[0])
    test[0, row] = True
    with pytest.raises(FoldError, match=f"repeat 0: tested 2 times instead of 1: row {row} and 0 more"):
        check_folds(edited(folds, test=test), groups)
    held = int(np.flatnonzero(valid[1, 0])[0])
    valid[1, 0, held] = False
    with pytest.raises(FoldError, match=f"outer fold 1: validated 0 times instead of 1: row {held}"):
        check_folds(edited(folds, valid=valid), groups)
    with pytest.raises(FoldError, match=r"outer fold 0: \d+ groups are on both sides, the first in rows"):
        check_folds(folds, np.arange(30) % 15)
    with pytest.raises(FoldError, match="of 30 subjects, the groups of 29"):
        check_folds(folds, groups[1:])
    with pytest.raises(FoldError, match="shapes disagree"):
        check_folds(edited(folds, valid=valid[:2]), groups)
    empty = folds.valid.copy()
    empty[2, 1] |= empty[2, 0]
    empty[2, 0] = False
    with pytest.raises(FoldError, match=r"outer fold 2, inner fold 0: \d+ subjects to train on, 0 held out"):
        check_folds(edited(folds, valid=empty), groups)


def test_inner_leak_is_found():
    groups = np.arange(24) // 2
    folds = make_folds(groups, n_outer=3, n_inner=2, seed=0)
    valid = folds.valid.copy()
    row = np.flatnonzero(valid[1, 0])[0]
    valid[1, :, row] = valid[1, ::-1, row]
    with pytest.raises(FoldError, match="outer fold 1, inner fold 0: 1 groups are on both sides"):
        check_folds(edited(folds, valid=valid), groups)


def test_parts_leave_out_missing_targets_only():
    folds = make_folds(np.arange(30), n_outer=3, seed=0)
    y = np.arange(30.0)
    y[[3, 17]] = np.nan
    for k, train, test, inner in fold_parts(folds, y):
        np.testing.assert_array_equal(train, np.setdiff1d(np.flatnonzero(~folds.test[k]), [3, 17]))
        np.testing.assert_array_equal(test, np.setdiff1d(np.flatnonzero(folds.test[k]), [3, 17]))
        for i, (inner_train, inner_valid) in enumerate(inner):
            np.testing.assert_array_equal(np.union1d(inner_train, inner_valid), train)
            np.testing.assert_array_equal(inner_valid, np.setdiff1d(np.flatnonzero(folds.valid[k, i]), [3, 17]))
    assert k == 2


def test_targets_pass_and_fail():
    folds = make_folds(np.arange(60), n_outer=3, n_inner=2, seed=0)
    rng = np.random.default_rng(0)
    good = pd.DataFrame({"iq": rng.normal(size=60), "sex": rng.integers(0, 2, 60)})
    check_targets(folds, good, kinds=KINDS, names=list(good))
    rare = good.assign(sex=folds.test[1].astype(int))
    with pytest.raises(FoldError, match="'sex', outer fold 0, test: 20 of class 0, 0 of class 1"):
        check_targets(folds, rare, kinds=KINDS, names=list(good))
    only_inner = good.assign(sex=0)
    for k in range(3):
        only_inner.loc[np.flatnonzero(folds.test[k])[:1], "sex"] = 1
    with pytest.raises(FoldError, match=r"'sex', outer fold 0, inner fold \d (train|validation): \d+ of class 0"):
        check_targets(folds, only_inner, kinds=KINDS, names=list(good))
    constant = good.assign(iq=np.where(folds.test[2], good["iq"], 1.0))
    with pytest.raises(FoldError, match="'iq', outer fold 0, test: 20 subjects, all of one value"):
        check_targets(folds, constant, kinds=KINDS, names=list(good))
    missing = good.assign(iq=np.where(folds.test[0], np.nan, good["iq"]), sex=2)
    with pytest.raises(FoldError) as error:
        check_targets(folds, missing, kinds=KINDS, names=list(good))
    assert str(error.value).splitlines() == [
        "target 'iq', outer fold 0, test: 0 subjects, all of one value",
        "target 'sex': classes must be 0 and 1, or 0, 1, 2, ... without a gap; got [2.0]",
    ]
    with pytest.raises(FoldError, match="'iq': kind: got 'continuous'"):
        check_targets(folds, good, kinds=["continuous", "classification"], names=list(good))
    with pytest.raises(FoldError, match=r"shape \(60, 2\), 1 names and 2 kinds"):
        check_targets(folds, good, kinds=KINDS, names=["iq"])


def test_files(tmp_path):
    folds = make_folds(families(), n_repeats=2, seed=0)
    path = save_folds(tmp_path, folds)
    first = path.read_bytes()
    opened = open_folds(tmp_path)
    for name in ("test", "valid", "repeat"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(folds, name))
    assert save_folds(tmp_path, opened).read_bytes() == first
    path.write_bytes(first[:100])
    with pytest.raises(ProjectError, match=r"folds\.npz: missing or damaged"):
        open_folds(tmp_path)
    with pytest.raises(ProjectError, match=r"folds\.npz: missing or damaged"):
        open_folds(tmp_path / "nowhere")
