"""The jobs of ensembles: which there are, what they need, and that a study that grows repeats none."""

import json

import pytest
from pydantic import ValidationError

from cortax.workflow.workload import Planning
from cortax.workloads.regions.plan.analyses import analysis_jobs
from cortax.workloads.regions.plan.ensembles import ensembles
from cortax.workloads.regions.plan.models import Regions, model_jobs
from cortax.workloads.regions.study.study import RegionsStudy

POOL = ["random-a", "random-b", "random-c", "random-d"]


def study(ensembles_=None, *, pool=POOL, pipelines=("ridge", "elastic"), **more):
    content = {
        "name": "mini",
        "title": "",
        "images": {"root": "", "space": "fsaverage3", "maps": {"a": "{participant_id}/{hemi}.npy"}},
        "phenotypes": {"file": "participants.tsv"},
        "targets": {"fluid": {"kind": "regression"}, "sex": {"kind": "classification"}},
        "splits": {"n_outer": 3},
        "parcellations": {name: {"kind": "random-growth", "n_regions": 5} for name in (*pool, "other")},
        "pipelines": {name: {"kind": name, "n_configs": 3} for name in pipelines},
        "ensembles": {"rand": {"parcellations": ["random-*"]}} if ensembles_ is None else ensembles_,
    }
    return RegionsStudy.model_validate(content | more)


class Searched:
    """A past in which the targets of one block were searched before."""

    def __init__(self, jobs):
        self.jobs = jobs

    def reusable(self, method, study, key):
        assert study == "mini"
        return [(dict(job.key), job.options) for job in self.jobs if job.method == method and job.key == key]

    def finished(self, spec):
        return True


def planned(asked, root, past=None):
    regions = {name: Regions(f"parcellate/{name}", 100, 5) for name in asked.region_sets}
    models, works = model_jobs(asked, regions, Planning(root, lambda path: "digest", past), {})
    jobs = [*models, *analysis_jobs(asked, models, regions, works)]
    known = {"split", *(one.job for one in regions.values())}
    for job in jobs:
        assert job.needs <= known, job.name
        json.dumps(job.options)
        known.add(job.name)
    return {job.name: job for job in jobs}


def keys(jobs):
    """What each job is known by: its method, its options and what it depends on."""
    found = {}
    for name, job in jobs.items():
        inputs = {
            slot: [found.get(one, one) for one in ([n] if isinstance(n, str) else n)] for slot, n in job.jobs.items()
        }
        found[name] = json.dumps([job.method, job.options, inputs])
    return found


def new(before, after):
    old = set(keys(before).values())
    return sorted(name for name, key in keys(after).items() if key not in old)


def asked(**more):
    return {"rand": {"parcellations": ["random-*"], **more}}


def test_a_study_without_ensembles_has_none_of_their_jobs(tmp_path):
    assert not {job.method for job in planned(study({}), tmp_path).values()} & {"inner", "ensemble"}


def test_one_job_an_ensemble(tmp_path):
    jobs = planned(study(asked(n_members=[3, 2], pooled=True)), tmp_path)
    found = {name for name in jobs if name.startswith("ensemble/")}
    assert found == {
        f"ensemble/rand/{strategy}-{n}/{pipeline}"
        for strategy in ("grid", "voted", "stacked")
        for n in (2, 3)
        for pipeline in ("ridge", "elastic", "all")
    }
    voted, grid = jobs["ensemble/rand/voted-3/ridge"], jobs["ensemble/rand/grid-3/ridge"]
    assert voted.options["members"] == [f"{name}/ridge" for name in POOL[:3]], "the first of the pool, in study order"
    assert voted.jobs["evaluate"] == [f"evaluate/{name}/ridge" for name in POOL[:3]]
    assert voted.jobs["tune"] == voted.jobs["inner"] == voted.options["parts"] == []
    assert grid.jobs["tune"] == [f"tune/{name}/ridge" for name in POOL[:3]]
    both = jobs["ensemble/rand/stacked-2/all"]
    assert both.options["members"] == [f"{name}/{pipeline}" for name in POOL[:2] for pipeline in ("ridge", "elastic")]
    assert both.jobs["inner"] == [name.replace("evaluate", "inner") for name in both.jobs["evaluate"]]
    assert {part["member"] for part in both.options["parts"]} == {0, 1, 2, 3}
    scored = jobs["scores"].options["evaluations"]
    assert scored[-1] == {"parcellation": "rand/stacked-2", "pipeline": "all"}


def test_all_members_unless_said_otherwise(tmp_path):
    jobs = planned(study(), tmp_path)
    assert jobs["ensemble/rand/voted-4/ridge"].options["members"] == [f"{name}/ridge" for name in POOL]


def test_inner_predictions_are_of_the_whole_pool_and_only_for_stacking(tmp_path):
    assert not [name for name in planned(study(asked(strategies=["grid", "voted"])), tmp_path) if "inner" in name]
    jobs = planned(study(asked(strategies=["stacked"], n_members=[2], pipelines=["ri*"])), tmp_path)
    assert [name for name in jobs if name.startswith("inner/")] == [f"inner/{name}/ridge" for name in POOL]
    inner = jobs["inner/random-a/ridge"]
    assert inner.jobs == jobs["evaluate/random-a/ridge"].jobs
    assert set(inner.options) == {"choose", "code", "fold"}, "no metric, and nothing else that the fits do not need"
    n_inner = study().splits.n_inner
    evaluate = jobs["evaluate/random-a/ridge"]
    assert inner.work.cpu_seconds == pytest.approx(n_inner * evaluate.work.cpu_seconds)


def test_what_runs_when_a_study_grows(tmp_path):
    base = planned(study(asked(strategies=["voted", "stacked"], n_members=[2])), tmp_path)

    def runs(**more):
        return new(
            base, planned(study(asked(**{"strategies": ["voted", "stacked"], "n_members": [2], **more})), tmp_path)
        )

    three = ["ensemble/rand/stacked-3/elastic", "ensemble/rand/stacked-3/ridge"]
    three += ["ensemble/rand/voted-3/elastic", "ensemble/rand/voted-3/ridge", "scores"]
    assert runs(n_members=[2, 3]) == three
    assert runs(pooled=True) == ["ensemble/rand/stacked-2/all", "ensemble/rand/voted-2/all", "scores"]
    grid = ["ensemble/rand/grid-2/elastic", "ensemble/rand/grid-2/ridge", "scores"]
    assert runs(strategies=["voted", "stacked", "grid"]) == grid
    grown = planned(study(asked(strategies=["voted", "stacked"], n_members=[2]), pool=[*POOL, "random-e"]), tmp_path)
    assert [name for name in new(base, grown) if name.startswith(("ensemble", "inner"))] == [
        "inner/random-e/elastic",
        "inner/random-e/ridge",
    ]


def test_another_metric_repeats_no_inner_fit(tmp_path):
    metrics = {"metrics": {"regression": ["r2"], "classification": ["roc_auc"]}}
    ran = new(planned(study(), tmp_path), planned(study(evaluate=metrics), tmp_path))
    assert ran
    assert not [name for name in ran if name.startswith(("inner/", "tune/"))]


def test_the_same_members_under_another_name_are_the_same_job(tmp_path):
    twice = asked() | {"again": {"parcellations": [*POOL]}}
    jobs = keys(planned(study(twice), tmp_path))
    assert jobs["ensemble/rand/stacked-4/ridge"] == jobs["ensemble/again/stacked-4/ridge"]


def test_members_by_block_and_fold(tmp_path):
    """Every part says which targets it has, in the order of its own search, and which are taken from it."""
    before = study({}, targets={"sex": {"kind": "classification"}}, pipelines=["ridge"])
    past = Searched(list(planned(before, tmp_path).values()))
    grown = study(grid={"by_fold": ["random-b"]}, pipelines=["ridge"])
    jobs = planned(grown, tmp_path, past)
    stacked, grid = jobs["ensemble/rand/stacked-4/ridge"], jobs["ensemble/rand/grid-4/ridge"]
    assert stacked.jobs["evaluate"][0] == "collect/random-a/ridge"
    first = [part for part in stacked.options["parts"] if part["member"] == 0]
    assert [(part["targets"], part["take"], part["fold"]) for part in first] == [
        (["sex"], ["sex"], None),
        (["fluid"], ["fluid"], None),
    ]
    second = [part for part in stacked.options["parts"] if part["member"] == 1]
    assert [(part["targets"], part["fold"]) for part in second] == [(["fluid", "sex"], fold) for fold in range(3)]
    assert grid.options["parts"] == stacked.options["parts"]
    assert len(grid.jobs["tune"]) == len(stacked.jobs["inner"]) == len(grid.options["parts"]) == 2 + 3 + 2 + 2
    for one, other in zip(grid.jobs["tune"], stacked.jobs["inner"], strict=True):
        assert one.replace("tune/", "inner/") == other


def test_an_ensemble_is_never_made_of_fewer(tmp_path):
    jobs = planned(study(asked(n_members=[2])), tmp_path)
    for strategy, needed in (("voted", "evaluate"), ("grid", "tune"), ("stacked", "inner")):
        spec = jobs[f"ensemble/rand/{strategy}-2/ridge"]
        assert spec.without({f"{needed}/random-b/ridge"}) is None
        assert spec.without({f"{needed}/random-c/ridge"}) == spec
    assert jobs["scores"].without({"ensemble/rand/voted-2/ridge"}) is not None


def test_ensembles_are_evaluations_to_what_comes_after(tmp_path):
    jobs = planned(study(asked(strategies=["voted"])), tmp_path)
    found = ensembles(list(jobs.values()))
    assert [(each.parcellation, each.pipeline) for each in found] == [
        ("rand/voted-4", "ridge"),
        ("rand/voted-4", "elastic"),
    ]
    assert found[0].take == (("fluid", "sex"),)


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        ({"parcellations": ["rand*", "lausane"]}, "ensembles.x.parcellations: nothing matches: got .*must be one of"),
        (
            {"parcellations": ["random-*"], "pipelines": ["svm"]},
            "ensembles.x.pipelines: nothing matches: got .*must be one of",
        ),
        ({"parcellations": ["random-a"]}, "'ridge' is run on 1 of its parcellations, .*; it takes at least 2"),
        (
            {"parcellations": ["random-*"], "n_members": [3, 5]},
            "ensembles.x: pipeline 'ridge' is run on 4 of its parcellations, .*; n_members asks for 5; name more",
        ),
        ({"parcellations": ["random-*"], "n_members": [1]}, "greater than or equal to 2"),
        ({"parcellations": ["random-*"], "n_members": [2, 3, 2]}, "n_members: .* names one twice"),
        ({"parcellations": ["random-*"], "strategies": ["voted", "voted"]}, "strategies: .* names one twice"),
        ({"parcellations": ["random-*"], "strategies": ["bagged"]}, "Input should be 'grid', 'voted' or 'stacked'"),
        ({"parcellations": ["random-*"], "strategies": []}, "at least 1 item"),
        (
            {"parcellations": ["random-*"], "pipelines": ["ridge"], "pooled": True},
            "at least 2 pipelines; got .'ridge'.",
        ),
    ],
)
def test_what_an_ensemble_cannot_be(ensemble, message):
    with pytest.raises(ValidationError, match=message):
        study({"x": ensemble})


def test_pipelines_that_are_pooled_are_run_on_the_same_parcellations():
    narrow = {"ridge": {"kind": "ridge"}, "elastic": {"kind": "elastic", "parcellations": ["random-a", "random-b"]}}
    assert study(pipelines=["ridge"]).pools_of("rand") == {"ridge": POOL}
    with pytest.raises(
        ValidationError, match=r"pipelines that are run on the same .* 'elastic' on .'random-a', 'random-b'."
    ):
        RegionsStudy.model_validate(study({}).model_dump() | {"pipelines": narrow, "ensembles": asked(pooled=True)})
    named = {"ridge": {"kind": "ridge"}, "all": {"kind": "elastic"}}
    with pytest.raises(ValidationError, match="gives the name 'all' to all pipelines together"):
        RegionsStudy.model_validate(study({}).model_dump() | {"pipelines": named, "ensembles": asked(pooled=True)})
