"""Narrowing a plan: which jobs are left, and what is said when none is."""

import pytest

from cortax.errors import StudyError
from cortax.grid.planning.jobspec import JobSpec
from cortax.grid.planning.restrict import parse_restriction, restrict


def model(method, regions, pipeline, targets=("age", "sex"), fold=None, needs=None):
    end = "" if fold is None else f"@{fold}"
    name = f"{method}/{regions}/{pipeline}{end}"
    about = {"parcellation": regions, "pipeline": pipeline, "targets": list(targets), "fold": fold}
    return JobSpec(name, method, {}, needs or {"regions": f"parcellate/{regions}", "split": "split"}, about=about)


def grid():
    specs = [JobSpec("load", "load", {})]
    specs += [JobSpec(f"parcellate/{name}", "parcellate", {}, {"load": "load"}) for name in ("dk", "schaefer-100")]
    specs += [JobSpec("split", "split", {}, {"subjects": ["load"]})]
    for pipeline in ("elastic", "lgbm"):
        specs.append(model("tune", "dk", pipeline))
        specs += [model("tune", "schaefer-100", pipeline, fold=fold) for fold in range(3)]
    for spec in [spec for spec in specs if spec.method == "tune"]:
        about = spec.about
        needs = {"tune": spec.name, "split": "split"}
        specs.append(model("evaluate", about["parcellation"], about["pipeline"], fold=about["fold"], needs=needs))
    specs.append(JobSpec("collect/schaefer-100/lgbm", "collect", {}, {"evaluate": ["evaluate/schaefer-100/lgbm@0"]}))
    return [*specs, JobSpec("scores", "scores", {}, {"evaluate": ["collect/schaefer-100/lgbm"]})]


def names(text):
    return [spec.name for spec in restrict(grid(), parse_restriction(text))]


def test_no_restriction_is_everything():
    assert names("") == [spec.name for spec in grid()]


def test_what_is_left_has_all_that_it_needs_and_nothing_else():
    assert names("pipeline=lgbm,parcellation=d*") == [
        *["load", "parcellate/dk", "split", "tune/dk/lgbm", "evaluate/dk/lgbm"]
    ]


def test_alternatives_and_targets():
    assert names("parcellation=dk,parcellation=schaefer*,target=age") == [
        spec.name for spec in grid() if spec.method not in ("collect", "scores")
    ]


def test_a_fold_leaves_jobs_of_all_folds():
    left = names("fold=1,pipeline=elastic")
    assert [name for name in left if name.startswith("tune")] == ["tune/dk/elastic", "tune/schaefer-100/elastic@1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("elastic", "must look like key=pattern"),
        ("pipeline=", "must look like key=pattern"),
        ("pipelines=lgbm", "got 'pipelines', must be one of .*; did you mean 'pipeline'"),
        ("pipeline=lgmb", "pipeline=lgmb: got 'lgmb', must be one of .*did you mean 'lgbm'"),
        ("target=iq", r"target=iq: got 'iq', must be one of \['age', 'sex'\]"),
        ("fold=7", "fold=7: got '7'"),
    ],
)
def test_what_meets_nothing_is_said(text, said):
    with pytest.raises(StudyError, match=said):
        names(text)


def test_a_combination_that_meets_nothing_is_said():
    specs = [spec for spec in grid() if spec.name != "tune/dk/lgbm" and spec.name != "evaluate/dk/lgbm"]
    with pytest.raises(StudyError, match="no job meets all of"):
        restrict(specs, parse_restriction("parcellation=dk,pipeline=lgbm"))
