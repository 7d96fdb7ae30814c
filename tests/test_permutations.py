"""Permutation tests: who moves, that a permutation is one more target, and what p-values say."""

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain import evaluate
from scipy.stats import kstest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import permutation_test_score

from cortax.errors import ProjectError, SearchError, StudyError
from cortax.learning.cohort import Targets
from cortax.learning.folds import make_folds
from cortax.learning.predictions import COLUMNS, Scoring, score_targets
from cortax.learning.scores import METRICS
from cortax.learning.search import reference
from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.pipelines import PIPELINES, make, pipeline_kind
from cortax.learning.search.spaces import sample_configs
from cortax.learning.stats.nulls import (
    CellNull,
    Permuted,
    collect_nulls,
    null_scores,
    open_nulls,
    permuted_problem,
    plan_permutations,
    read_null,
    save_nulls,
    write_null,
)
from cortax.learning.stats.permutation_tests import (
    NullsPart,
    join_nulls,
    max_p,
    p_values,
    permutation_table,
    warnings_of,
)
from cortax.learning.stats.permutations import EXCHANGES, n_distinct, permuted_rows
from cortax.workflow.plan.jobspec import JobSpec
from cortax.workflow.task import collect_task, run_task
from cortax.workflow.work.payload import open_task, write_payload
from cortax.workloads.regions.costs import ModelWork
from cortax.workloads.regions.plan.models import evaluations
from cortax.workloads.regions.plan.names import job_name
from cortax.workloads.regions.plan.permuting import ALWAYS, cut_permutations, permuting_jobs
from cortax.workloads.regions.study.study import RegionsStudy
from cortax.workloads.regions.tasks.permute import PermutationTask
from cortax.workloads.regions.tasks.problem import CutProblem

FAMILIES = np.array([0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 6, 6, 7, 7, 7])
BOTH = {task: [name for name in METRICS if name in ALWAYS[task]] for task in ALWAYS}


# Who gets whose value.


@given(
    groups=st.lists(st.integers(0, 8), min_size=1, max_size=30),
    lost=st.sets(st.integers(0, 29)),
    exchange=st.sampled_from(EXCHANGES),
    seed=st.integers(0, 5),
)
def test_every_row_is_a_permutation_that_the_kind_allows(groups, lost, exchange, seed):
    groups = np.array(groups)
    known = ~np.isin(np.arange(len(groups)), list(lost))
    rows = permuted_rows(groups, known, range(4), exchange=exchange, seed=seed)
    everyone = np.arange(len(groups))
    sizes = np.array([(known & (groups == group)).sum() for group in groups])
    for row in rows:
        np.testing.assert_array_equal(np.sort(row), everyone)
        np.testing.assert_array_equal(row[~known], everyone[~known])
        if exchange == "within-groups":
            np.testing.assert_array_equal(groups[row], groups)
            continue
        for group in np.unique(groups[known]):
            source = row[known & (groups == group)]
            # All of another group of that size, its members in their order.
            assert (sizes[source] == len(source)).all()
            np.testing.assert_array_equal(source, np.flatnonzero(known & (groups == groups[source[0]])))


@pytest.mark.parametrize(
    ("exchange", "groups", "known", "n"),
    [
        ("whole-groups", [0, 0, 1, 1, 2, 2, 3], [1] * 7, 6),
        ("whole-groups", [0, 0, 1, 1, 2, 2, 3, 4], [1, 0, 1, 1, 1, 1, 1, 1], 12),
        ("within-groups", [0, 0, 0, 1, 1, 2], [1] * 6, 12),
        ("within-groups", [0, 0, 0, 1, 1, 2], [1, 1, 0, 1, 1, 1], 4),
    ],
)
def test_each_allowed_permutation_is_as_likely(exchange, groups, known, n):
    rows = permuted_rows(groups, known, range(300 * n), exchange=exchange, seed=3)
    counts = np.array(list(Counter(map(tuple, rows.tolist())).values()))
    assert len(counts) == n
    assert np.abs(counts - 300).max() < 5 * np.sqrt(300)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_permutation_does_not_depend_on_how_many_there_are(exchange):
    known = np.ones(len(FAMILIES), dtype=bool)
    many = permuted_rows(FAMILIES, known, range(50), exchange=exchange, seed=1)
    np.testing.assert_array_equal(permuted_rows(FAMILIES, known, [7, 3], exchange=exchange, seed=1), many[[7, 3]])
    assert not np.array_equal(permuted_rows(FAMILIES, known, range(50), exchange=exchange, seed=2), many)
    # A target that lacks one more subject moves almost as the others do.
    known[2] = False
    alike = permuted_rows(FAMILIES, known, range(50), exchange=exchange, seed=1) == many
    assert alike[:, known].mean() > 0.6


@pytest.mark.parametrize(
    ("y", "groups", "exchange", "n"),
    [
        ([1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 3], "whole-groups", 4),
        ([1, 2, 1, 2, 5, 6], [0, 0, 1, 1, 2, 3], "whole-groups", 2),
        ([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 2], "whole-groups", 1),
        ([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 2], "within-groups", 12),
        ([1, 1, 3, 4, np.nan, 6], [0, 0, 0, 1, 1, 2], "within-groups", 3),
        ([1, 1, 1, 1], [0, 1, 2, 3], "whole-groups", 1),
        ([1, 2, 3, 4], [0, 1, 2, 3], "within-groups", 1),
    ],
)
def test_how_many_targets_there_can_be(y, groups, exchange, n):
    y = np.array(y, dtype=float)
    assert n_distinct(y, groups, exchange=exchange) == n
    rows = permuted_rows(groups, ~np.isnan(y), range(400), exchange=exchange, seed=0)
    assert len(np.unique(np.nan_to_num(y[rows], nan=-1), axis=0)) == n


def test_many_targets_there_can_be():
    assert n_distinct(np.arange(100.0), np.arange(100), exchange="whole-groups") == pytest.approx(
        9.332622e157, rel=1e-6
    )
    assert n_distinct(np.arange(1000.0), np.arange(1000), exchange="whole-groups") == np.inf


def test_wrong_arguments():
    with pytest.raises(SearchError, match="did you mean 'whole-groups'"):
        permuted_rows(FAMILIES, FAMILIES >= 0, [0], exchange="whole-group", seed=0)
    with pytest.raises(SearchError, match="one value a subject"):
        permuted_rows(FAMILIES, [True], [0], exchange="whole-groups", seed=0)


# A permutation is one more target.


def problem_of(kind="ridge", tasks=("regression", "classification"), n=60, seed=0, **more):
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, n // 2, n)).astype(str)
    X, confounds = rng.normal(size=(n, 9)), rng.normal(size=(n, 2))
    X += confounds @ rng.normal(size=(2, 9))
    values = X[:, :1] * 0.5 + rng.normal(size=(n, len(tasks)))
    targets = np.where([task == "regression" for task in tasks], values, values > 0).astype(float)
    targets[[3, 17], 0] = np.nan
    problem = Problem(
        regions=X,
        targets=targets,
        tasks=tuple(tasks),
        names=tuple(f"{task[:3]}{number}" for number, task in enumerate(tasks)),
        folds=make_folds(groups, n_outer=3, n_inner=2, seed=seed),
        kind=kind,
        configs={task: sample_configs(kind, task, 4, seed=1) for task in set(tasks)},
        confounds=confounds,
        **more,
    )
    return problem, groups


def nulls_of(permuted, kind="ridge"):
    done = {}
    for batch in plan_permutations(permuted):
        done |= null_scores(permuted, batch, pipeline_kind(kind, {}, name=kind))
    return collect_nulls(permuted, done)


def by_hand(problem, groups, number, exchange, metrics):
    """Scores of one permutation by the plain loop of scikit-learn, mean over folds: (target, metric) to value."""
    Y = problem.targets.copy()
    for target, y in enumerate(problem.targets.T):
        Y[:, target] = y[permuted_rows(groups, ~np.isnan(y), [number], exchange=exchange, seed=problem.seed)[0]]
    permuted, kind = replace(problem, targets=Y), PIPELINES[problem.kind]
    refitted = evaluate(permuted, kind, plain.search(permuted, kind).scores)
    targets, scoring = Targets(Y, problem.names, problem.tasks), Scoring(metrics)
    table = score_targets(refitted, targets, problem.folds.test, groups, scoring)
    return table[table["fold"] == "mean"].set_index(["target", "metric"])["value"]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_statistic_is_that_of_scikit_learn_on_the_same_permutation(exchange):
    problem, groups = problem_of()
    nulls = nulls_of(Permuted(problem, groups, exchange, range(4), BOTH))
    assert nulls.values.shape == (2, 4, 6)
    assert (nulls.n_folds[0, :, :5] == 3).all()
    expected = by_hand(problem, groups, 3, exchange, BOTH)
    for target, (name, task) in enumerate(zip(problem.names, problem.tasks, strict=True)):
        # A logistic regression of scikit-learn is not as near to its optimum.
        close = {"rtol": 1e-8, "atol": 1e-9} if task == "regression" else {"rtol": 2e-2, "atol": 2e-2}
        values = [expected[name, metric] for metric in BOTH[task]]
        np.testing.assert_allclose(nulls.values[target, 3, : len(values)], values, **close)


class _Nested(RegressorMixin, BaseEstimator):
    """What a user would hand to `permutation_test_score`: the nested pipeline, its rows found again by their number."""

    def __init__(self, problem=None):
        self.problem = problem

    def fit(self, X, y):
        rows = X[:, 0].astype(int)
        outer = next(k for k, test in enumerate(self.problem.folds.test) if not test[rows].any())
        values = np.full((len(self.problem.targets), 1), np.nan)
        values[rows, 0] = y
        configs = self.problem.configs["regression"]
        permuted = replace(self.problem, targets=values, tasks=("regression",), names=("x",), seed=0)
        found = reference.search_cell(permuted, (0, outer), PIPELINES["ridge"])
        best = configs[int(found.scores.mean(axis=1).argmax())]
        columns, n_confounds = reference.columns(self.problem.regions, self.problem.confounds)
        self.columns_ = columns
        self.model_ = make(PIPELINES["ridge"], "regression", best, n_confounds=n_confounds, seed=0)
        self.model_.fit(columns[rows], y)
        return self

    def predict(self, X):
        return self.model_.predict(self.columns_[X[:, 0].astype(int)])


class _Given(np.random.RandomState):
    """Hands permutations that are given to scikit-learn, which asks for one at a time."""

    def __init__(self, rows):
        super().__init__(0)
        self.rows = iter(rows)

    def permutation(self, x):
        return next(self.rows)[:x]


def test_p_is_that_of_permutation_test_score_on_the_same_permutations():
    problem, groups = problem_of(tasks=("regression",))
    rows = permuted_rows(groups, ~np.isnan(problem.targets[:, 0]), range(9), exchange="whole-groups", seed=0)
    known = np.flatnonzero(~np.isnan(problem.targets[:, 0]))
    place = np.full(len(groups), -1)
    place[known] = np.arange(len(known))
    cv = [(place[known[~test[known]]], place[known[test[known]]]) for test in problem.folds.test]
    score, drawn, p = permutation_test_score(
        _Nested(problem),
        known[:, None].astype(float),
        problem.targets[known, 0],
        cv=cv,
        scoring="r2",
        n_permutations=9,
        random_state=_Given(place[rows[:, known]]),
    )
    nulls = nulls_of(Permuted(problem, groups, "whole-groups", range(9), BOTH))
    at = BOTH["regression"].index("r2")
    np.testing.assert_allclose(nulls.values[0, :, at], drawn, rtol=1e-8, atol=1e-9)
    assert p_values([score], nulls.values[:, :, at])[0][0] == pytest.approx(p)


@pytest.mark.parametrize("kind", ["elastic", "svm", "lgbm"])
def test_other_pipelines_are_permuted_as_well(kind):
    problem, groups = problem_of(kind, n=40)
    nulls = nulls_of(Permuted(problem, groups, "whole-groups", [1], BOTH), kind)
    expected = by_hand(problem, groups, 1, "whole-groups", BOTH)
    found = nulls.values[0, 0, BOTH["regression"].index("mean_squared_error")]
    assert found == pytest.approx(expected["reg0", "mean_squared_error"], rel=5e-3)
    assert np.isfinite(nulls.values[1]).all()


def test_batches_change_nothing_and_names_keep_seeds(monkeypatch):
    problem, groups = problem_of()
    permuted = Permuted(problem, groups, "whole-groups", range(7), BOTH)
    whole = nulls_of(permuted)
    monkeypatch.setattr("cortax.learning.stats.nulls._MOST", 2 * 4 * 30 * 2)
    assert max(len(batch.targets) for batch in plan_permutations(permuted)) == 2
    np.testing.assert_allclose(nulls_of(permuted).values, whole.values, rtol=1e-9, atol=1e-12)
    later = nulls_of(Permuted(problem, groups, "whole-groups", range(5, 7), BOTH))
    np.testing.assert_allclose(later.values, whole.values[:, 5:], rtol=1e-9, atol=1e-12)
    assert permuted_problem(permuted, [4, 5]).names == problem.names * 2


def test_a_constant_target_and_one_that_fails():
    problem, groups = problem_of(tasks=("regression", "classification"))
    problem.targets[:, 0] = 2.5
    # One of the rare class: some training parts have none.
    problem.targets[:, 1] = np.arange(60) == 30
    nulls = nulls_of(Permuted(problem, groups, "whole-groups", range(6), BOTH))
    assert nulls.n_distinct[0] == 1
    np.testing.assert_allclose(nulls.values[0, :, BOTH["regression"].index("r2")], 1.0)
    assert np.isnan(nulls.values[1, :, BOTH["classification"].index("roc_auc")]).all()


def test_nothing_that_can_be_scored_is_an_error():
    problem, groups = problem_of(tasks=("classification",))
    problem.targets[:, 0] = 1.0
    with pytest.raises(SearchError, match=r"no permutation could be scored; the first: .*one class"):
        nulls_of(Permuted(problem, groups, "whole-groups", range(2), {"classification": ["roc_auc"]}))


def test_nulls_come_back_from_disk_and_from_bytes(tmp_path):
    problem, groups = problem_of()
    nulls = nulls_of(Permuted(problem, groups, "within-groups", range(3), BOTH))
    assert save_nulls(tmp_path, nulls) == ["nulls.npz", "nulls.json"]
    back = open_nulls(tmp_path)
    assert (back.targets, back.tasks, back.metrics, back.exchange) == (
        nulls.targets,
        nulls.tasks,
        nulls.metrics,
        nulls.exchange,
    )
    for name in ("numbers", "values", "n_folds", "n_distinct"):
        np.testing.assert_array_equal(getattr(back, name), getattr(nulls, name))
    cell = read_null(write_null(CellNull(np.array([[0.5, np.nan]]), "no such thing")))
    np.testing.assert_array_equal(cell.scores, [[0.5, np.nan]])
    assert cell.failure == "no such thing"
    with pytest.raises(ProjectError, match="not what was packed"):
        read_null(b"nonsense")


def test_workers_find_the_same_here_and_elsewhere(tmp_path):
    problem, groups = problem_of(n=40)
    permuted = Permuted(problem, groups, "whole-groups", [5, 2], BOTH)
    batches = plan_permutations(permuted)
    expected = {}
    for batch in batches:
        expected |= null_scores(permuted, batch, PIPELINES["ridge"])
    task = PermutationTask(CutProblem(problem, batches, {}, permuted.names), permuted)
    there = open_task(write_payload(tmp_path / "payload", task))
    assert task.units()[0].keys[:2] == ("permutation 5, outer fold 0", "permutation 2, outer fold 0")
    for unit in range(len(batches)):
        assert there.do(unit) == task.do(unit)

    folder = tmp_path / "workdirs/main/main-1"
    folder.mkdir(parents=True)
    (folder / "setup.json").write_text(json.dumps({"method": "permute", "hash": "h", "options": {}, "jobs": {}}))
    job = SimpleNamespace(path=folder)
    run_task(task, job, tmp_path, 0, 2)
    done = task.read(collect_task(task, job, tmp_path))
    assert done.keys() == expected.keys()
    for key, cell in done.items():
        np.testing.assert_array_equal(cell.scores, expected[key].scores)


# From nulls to p.


def test_p_counts_those_that_are_as_good():
    p, n = p_values([0.5, 0.5, np.nan, 3.0], [[0.1, 0.5, 0.7, np.nan], [np.nan] * 4, [0, 1, 2, 3], [0, 1, 2, 2.5]])
    np.testing.assert_allclose(p, [3 / 4, np.nan, np.nan, 1 / 5])
    np.testing.assert_array_equal(n, [3, 0, 4, 4])
    # What rounding makes of an equal statistic counts as equal.
    assert p_values([0.3], [[0.1 + 0.2 - 1e-15, -1.0]])[0][0] == 2 / 3


def test_max_p_of_one_test_is_its_p_and_of_many_it_is_larger():
    rng = np.random.default_rng(2)
    nulls = rng.normal(size=(20, 199)) * np.geomspace(1e-3, 1e3, 20)[:, None]
    observed = nulls[:, 0] * 0 + np.geomspace(1e-3, 1e3, 20) * 2.5
    single = p_values(observed, nulls)[0]
    p, n = max_p(observed, nulls)
    assert n == 199
    assert (p >= single).all()
    assert p.mean() > 3 * single.mean()
    assert max_p(observed[:1], nulls[:1])[0][0] == single[0]
    # Scale and place of a test do not matter.
    np.testing.assert_allclose(max_p(observed * 7 + 3, nulls * 7 + 3)[0], p)


def test_max_p_does_without_what_is_not_there():
    nulls = np.random.default_rng(2).normal(size=(4, 30))
    nulls[1], nulls[2], nulls[3, 5] = np.nan, 0.25, np.nan
    p, n = max_p([1.0, 1.0, 0.25, 1.0], nulls)
    assert n == 29
    np.testing.assert_array_equal(np.isnan(p), [False, True, True, False])
    assert np.isnan(max_p([np.nan], [[1.0, 2.0]])[0]).all()


def test_both_hold_their_level_under_the_null():
    rng = np.random.default_rng(4)
    found, best = [], []
    for _ in range(400):
        shared = rng.normal(size=(1, 100))
        everything = shared + rng.normal(size=(6, 100))
        found.append(p_values(everything[:, 0], everything[:, 1:])[0][0])
        best.append(max_p(everything[:, 0], everything[:, 1:])[0].min())
    assert kstest(found, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(best) <= 0.05) < 0.08


def scores(values, fold="mean"):
    rows = [(t, fold, m, v, np.nan, np.nan, 60, 0, np.nan) for (t, m), v in values.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_a_table_of_tests():
    problem, groups = problem_of(tasks=("regression",))
    nulls = nulls_of(Permuted(problem, groups, "whole-groups", range(30), BOTH))
    more = nulls_of(Permuted(problem, groups, "whole-groups", range(30, 39), BOTH))
    error = nulls.values[0, :, BOTH["regression"].index("mean_squared_error")]
    table = {("a", "ridge"): scores({("reg0", "r2"): 0.9, ("reg0", "mean_squared_error"): error.min() - 0.01})}
    table["b", "ridge"] = scores({("reg0", "r2"): -9.0, ("lost", "r2"): 0.5})
    parts = [NullsPart(where, "ridge", ["reg0"], 1, each) for where in "ab" for each in (nulls, more)]
    found = permutation_table(table, parts, exchange="whole-groups")
    assert list(found["n_permutations"]) == [39, 39, 39, 0]
    assert found["p"][0] == 1 / 40
    assert found["p"][1] <= 10 / 40
    assert found["p"][2] == 1.0
    assert np.isnan(found["p"][3])
    # Of two tests, the smaller p is doubled.
    assert found["q"][0] == 2 / 40
    assert list(found["n_joint"]) == [39] * 4
    assert any("lost: no p-value for b/ridge r2" in warning for warning in warnings_of(found))


def test_parts_by_fold_make_a_whole():
    problem, groups = problem_of(tasks=("regression",))
    permuted = Permuted(problem, groups, "whole-groups", range(4), BOTH)
    whole = nulls_of(permuted)
    parts = []
    for outer in range(3):
        done = null_scores(permuted, Batch(outer, (0, 1, 2, 3)), PIPELINES["ridge"])
        parts.append(collect_nulls(permuted, done))
    np.testing.assert_allclose(join_nulls(parts, "reg0", n_parts=3), whole.values[0], rtol=1e-12)
    assert np.isnan(join_nulls(parts[:2], "reg0", n_parts=3)).all()


def test_what_permutation_cannot_change_is_not_tested():
    problem, _ = problem_of(tasks=("regression",), n=30)
    sizes = np.repeat(np.arange(5), [2, 4, 6, 8, 10])  # no two families of one size
    nulls = nulls_of(Permuted(problem, sizes, "whole-groups", [0], BOTH))
    parts = [NullsPart("a", "ridge", ["reg0"], 1, nulls)]
    found = permutation_table({("a", "ridge"): scores({("reg0", "r2"): 0.9})}, parts, exchange="whole-groups")
    assert found["n_distinct"][0] == 1
    assert found[["p", "p_max", "q"]].isna().all(axis=None)
    assert "cannot change this target" in warnings_of(found)[0]
    assert "no p-value can be below .05" in warnings_of(found)[1]


# Which jobs there are.


def specs(name="a/ridge", targets=("x", "y"), fold=None):
    regions, pipeline = name.split("/")
    key = {"parcellation": regions, "pipeline": pipeline} | ({} if fold is None else {"fold": str(fold)})
    what = {"key": key, "covers": {"target": list(targets)}}
    jobs = {"regions": "parcellate/a", "split": "split", "targets": [f"target/{target}" for target in targets]}
    options = {"kind": "ridge", "targets": {}, "fold": fold}
    tune = JobSpec(job_name("tune", key), "tune", options, jobs, **what)
    jobs = {**jobs, "tune": tune.name}
    return [tune, JobSpec(job_name("evaluate", key), "evaluate", {}, jobs, **what)]


def study_of(permutations, **more):
    return RegionsStudy(
        name="s",
        title="t",
        tables={"a": {"files": ["a.tsv"]}, "b": {"files": ["b.tsv"]}},
        phenotypes={"file": "p.tsv"},
        targets={"x": {"kind": "regression"}},
        pipelines={"ridge": {"kind": "ridge"}, "svm": {"kind": "svm"}},
        statistics={"permutations": permutations, **more},
    )


def jobs_of(study, models):
    searches = {job.name: job for job in models if job.method == "tune"}
    works = {
        job.name: ModelWork("ridge", "ridge", 60, 9, {"regression": len(job.covers["target"])}, 4, 3, 2)
        for job in models
    }
    return permuting_jobs(study, evaluations(models), searches, works)


def test_blocks_of_permutations_stay():
    assert cut_permutations(1) == [(0, 1)]
    assert cut_permutations(100) == [(0, 100)]
    assert cut_permutations(1000) == [(0, 100), (100, 500), (500, 1000)]
    for fewer, more in ((100, 1000), (500, 5000), (1000, 10_000)):
        assert cut_permutations(more)[: len(cut_permutations(fewer))] == cut_permutations(fewer)
    for n in (37, 99, 101, 999, 1001, 2500):
        blocks = cut_permutations(n)
        assert [start for start, _ in blocks] == [0, *[end for _, end in blocks[:-1]]]
        assert blocks[-1][1] == n


def test_jobs_of_permutations():
    assert jobs_of(study_of(0), specs()) == []
    models = [*specs("a/ridge"), *specs("a/svm")]
    few, many = jobs_of(study_of(100), models), jobs_of(study_of(500), models)
    assert [job.name for job in many] == ["permute/a/ridge/0", "permute/a/ridge/100", "permutation-tests"]
    assert many[0] == few[0]
    assert many[1].work.n_units == 800 * 3, "two targets, 400 permutations, three outer folds"
    assert many[0].jobs == {"regions": "parcellate/a", "split": "split", "targets": ["target/x", "target/y"]}
    # One metric more that is known changes nothing.
    assert many[0].options["metrics"] == {task: sorted(names) for task, names in ALWAYS.items()}
    assert many[-1].links == ("permutations.parquet",)
    assert len(jobs_of(study_of(100, pipelines=["*"]), models)) == 3


def test_every_metric_is_always_kept():
    assert {task: sorted(names) for task, names in BOTH.items()} == {task: sorted(n) for task, n in ALWAYS.items()}
    assert BOTH["regression"] == [name for name, metric in METRICS.items() if "regression" in metric.tasks]


def test_a_fold_by_itself_is_permuted_by_itself():
    models = [job for fold in range(3) for job in specs(fold=fold)]
    jobs = jobs_of(study_of(100), models)
    assert [job.name for job in jobs[:-1]] == [f"permute/a/ridge@{fold}/0" for fold in range(3)]
    assert [job.options["fold"] for job in jobs[:-1]] == [0, 1, 2]
    assert [about["n_parts"] for about in jobs[-1].options["nulls"]] == [3, 3, 3]


def test_wrong_patterns():
    with pytest.raises(StudyError, match=r"no evaluation is of pipelines \['ridge', 'elastic'\]"):
        jobs_of(study_of(100), specs("a/svm"))
    with pytest.raises(ValueError, match=r"statistics.pipelines: nothing matches: .*did you mean 'ridge'"):
        study_of(100, pipelines=["rigde"])
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        study_of(-1)
