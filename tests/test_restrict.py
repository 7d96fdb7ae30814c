"""Narrowing a plan: which jobs are left, and what is said when none is."""

import pytest

from cortax.errors import StudyError
from cortax.workflow.plan.jobspec import JobSpec
from cortax.workflow.plan.restrict import parse_restriction, restrict
from cortax.workloads.regions import workload


def model(method, regions, pipeline, targets=("age", "sex"), fold=None, needs=None):
    end = "" if fold is None else f"@{fold}"
    name = f"{method}/{regions}/{pipeline}{end}"
    key = {"parcellation": regions, "pipeline": pipeline} | ({} if fold is None else {"fold": fold})
    needs = needs or {"regions": f"parcellate/{regions}", "split": "split"}
    return JobSpec(name, method, {}, needs, key=key, covers={"target": list(targets)})


def grid():
    specs = [JobSpec("load", "load", {})]
    specs += [JobSpec(f"parcellate/{name}", "parcellate", {}, {"load": "load"}) for name in ("dk", "schaefer-100")]
    specs += [JobSpec("split", "split", {}, {"subjects": ["load"]})]
    for pipeline in ("elastic", "lgbm"):
        specs.append(model("tune", "dk", pipeline))
        specs += [model("tune", "schaefer-100", pipeline, fold=fold) for fold in "012"]
    for spec in [spec for spec in specs if spec.method == "tune"]:
        needs = {"tune": spec.name, "split": "split"}
        specs.append(
            model("evaluate", spec.key["parcellation"], spec.key["pipeline"], fold=spec.key.get("fold"), needs=needs)
        )
    specs.append(JobSpec("collect/schaefer-100/lgbm", "collect", {}, {"evaluate": ["evaluate/schaefer-100/lgbm@0"]}))
    return [*specs, JobSpec("scores", "scores", {}, {"evaluate": ["collect/schaefer-100/lgbm"]})]


def narrowed(specs, text):
    return restrict(specs, parse_restriction(text), axes=workload.axes, narrowed=workload.narrowed)


def names(text):
    return [spec.name for spec in narrowed(grid(), text)]


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
        narrowed(specs, "parcellation=dk,pipeline=lgbm")


def test_an_axis_that_no_job_has_a_value_of_is_said():
    specs = [spec for spec in grid() if "fold" not in spec.key]
    with pytest.raises(StudyError, match="--restrict fold=1: no job is of one fold: they are of all together"):
        narrowed(specs, "fold=1")
