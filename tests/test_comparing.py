"""The jobs of comparisons: which there are, that they grow one by one, and what is refused before anything runs."""

import dataclasses

import pytest

from cortax.errors import StudyError
from cortax.learning.stats.models import Asked
from cortax.workflow.plan.jobspec import JobSpec
from cortax.workloads.regions.plan.analyses import comparing_jobs
from cortax.workloads.regions.plan.models import Evaluated
from cortax.workloads.regions.study.study import RegionsStudy


def study(**section):
    content = {
        "name": "mini",
        "title": "",
        "tables": {name: {"files": ["regions.csv"]} for name in "abc"},
        "phenotypes": {"file": "participants.tsv"},
        "targets": {"sex": {"kind": "classification"}, "fluid": {"kind": "regression"}},
        "pipelines": {name: {"kind": "ridge"} for name in ("ridge", "short")},
    }
    return RegionsStudy.model_validate(content | ({"comparisons": section["comparisons"]} if section else {}))


def evaluated(*names):
    found = []
    for name in names:
        parcellation, _, pipeline = name.rpartition("/")
        key = {"parcellation": parcellation, "pipeline": pipeline}
        job = JobSpec(f"evaluate/{name}", "evaluate", {}, key=key)
        found.append(Evaluated(parcellation, pipeline, job, (job,), (("fluid", "sex"),)))
    return found


MODELS = ("a/ridge", "b/ridge", "a/short")


def test_without_its_section_nothing_is_compared():
    assert comparing_jobs(study(), evaluated(*MODELS)) == []


def test_each_evaluation_has_its_influences_and_one_job_compares():
    jobs = comparing_jobs(study(comparisons={}), evaluated(*MODELS))
    assert [job.name for job in jobs] == [*(f"jackknife/{name}" for name in MODELS), "compare"]
    assert jobs[0].jobs == {"split": "split", "targets": ["target/fluid", "target/sex"], "evaluate": "evaluate/a/ridge"}
    assert jobs[-1].jobs["evaluate"] == [f"evaluate/{name}" for name in MODELS]
    assert jobs[-1].links == ("comparisons.parquet", "over_targets.parquet", "intervals.parquet")
    more = comparing_jobs(study(comparisons={}), evaluated(*MODELS, "pool/stacked-3/ridge"))
    assert more[:3] == jobs[:3], "with one more, nothing is left out again"
    assert more[3].name == "jackknife/pool/stacked-3/ridge"
    other = comparing_jobs(study(comparisons={"rope": {"r2": 0.1}, "correction": "by"}), evaluated(*MODELS))
    assert other[:3] == jobs[:3], "what is asked of them changes no influence"
    assert other[3] != jobs[3]


def test_the_defaults_of_the_job_are_those_of_the_library():
    options = comparing_jobs(study(comparisons={}), evaluated(*MODELS))[-1].options
    defaults = dataclasses.asdict(Asked())
    for name in ("pairs", "confidence", "correction"):
        assert options[name] == defaults[name]


def test_without_what_failed():
    left = comparing_jobs(study(comparisons={}), evaluated(*MODELS))[-1].without(
        ["evaluate/b/ridge", "jackknife/b/ridge", "jackknife/a/short"]
    )
    assert left.options["evaluations"] == [{"parcellation": "a", "pipeline": name} for name in ("ridge", "short")]
    assert left.options["influences"] == [{"parcellation": "a", "pipeline": "ridge"}]
    assert left.jobs["jackknife"] == ["jackknife/a/ridge"]


def test_only_some_and_only_with_a_reference():
    asked = {"reference": "ridge", "parcellations": ["a"], "metrics": ["roc_auc"]}
    jobs = comparing_jobs(study(comparisons=asked), evaluated(*MODELS))
    assert [job.name for job in jobs] == ["jackknife/a/ridge", "jackknife/a/short", "compare"]
    assert jobs[0].options["metrics"] == {"classification": ["roc_auc"], "ordinal": [], "regression": []}
    assert (jobs[-1].options["pairs"], jobs[-1].options["references"]) == ("reference", ["ridge"])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"reference": "rigde"}, r"comparisons.reference: got 'rigde'.*did you mean 'ridge'"),
        (
            {"pipelines": ["elastic"]},
            r"comparisons.pipelines: nothing matches: got 'elastic', must be one of \['ridge'",
        ),
        ({"parcellations": ["b"]}, "there is nothing to compare: no two pipelines share a parcellation"),
        ({"limit": 1}, "pairs = 'all' are 2 pairs of models for every target and metric, more than limit = 1"),
    ],
)
def test_what_cannot_be_compared(section, message):
    with pytest.raises(StudyError, match=message):
        comparing_jobs(study(comparisons=section), evaluated(*MODELS))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"pairs": "best", "reference": "ridge"}, "reference goes with pairs = 'reference'"),
        ({"pairs": "reference"}, "and that with a reference; got pairs = 'reference', reference = "),
        ({"rope": {"r3": 0.1}}, "comparisons.rope: is not reported: got 'r3'"),
        ({"metrics": ["accuracy"]}, "comparisons.metrics: is not reported: got 'accuracy'.*'balanced_accuracy'"),
        ({"rope": {"r2": -1}}, "greater than or equal to 0"),
        ({"interval": "bca"}, "interval"),
        ({"correction": "holm"}, "'bh' or 'by'"),
    ],
)
def test_a_section_that_makes_no_sense(section, message):
    with pytest.raises(ValueError, match=message):
        study(comparisons=section)
