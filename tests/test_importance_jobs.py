"""The jobs that find out which regions matter: which there are, and what workers elsewhere make of their inputs."""

import numpy as np
import pytest
from plain import evaluate
from pydantic import ValidationError

from cortax.errors import ProjectError, StudyError
from cortax.learning.folds import make_folds
from cortax.learning.importance.cells import importance_of_chosen, importance_of_kept
from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.store import StoredSearch
from cortax.provenance import closure
from cortax.provenance.closure import check_class_code
from cortax.provenance.files import file_digest
from cortax.workflow.work.payload import open_task, write_payload
from cortax.workflow.workload import Planning
from cortax.workloads.regions.plan.importances import importances_jobs
from cortax.workloads.regions.plan.models import Regions, evaluations, model_jobs
from cortax.workloads.regions.study.study import RegionsStudy
from cortax.workloads.regions.tasks.importance import ChosenImportanceTask, KeptImportanceTask
from cortax.workloads.regions.tasks.problem import CutProblem

CONTENT = {
    "name": "mini",
    "title": "",
    "images": {"root": "", "space": "fsaverage3", "maps": {"a": "{participant_id}/{hemi}.npy"}},
    "phenotypes": {"file": "participants.tsv"},
    "targets": {"iq": {"kind": "regression"}, "sex": {"kind": "classification"}},
    "splits": {"n_outer": 2},
    "parcellations": {name: {"kind": "labels", "file": "x.npy"} for name in ("coarse", "fine")},
    "pipelines": {"ridge": {"kind": "ridge"}, "trees": {"kind": "lgbm"}},
    "importance": {},
}


def jobs_of(tmp_path, digest_of=lambda path: "digest", **more):
    study = RegionsStudy.model_validate(CONTENT | more)
    (tmp_path / "participants.tsv").write_text("participant_id\n")
    regions = {name: Regions(f"parcellate/{name}", 10, 10) for name in study.parcellations}
    models, _ = model_jobs(study, regions, Planning(tmp_path, digest_of), {})
    searches = {job.name: job for job in models if job.method == "tune"}
    return {job.name: job for job in importances_jobs(study, evaluations(models), searches)}


def test_one_job_for_each_evaluation(tmp_path):
    jobs = jobs_of(tmp_path)
    assert list(jobs) == [
        f"importance/{name}/{pipeline}" for pipeline in ("ridge", "trees") for name in ("coarse", "fine")
    ]
    ridge, trees = jobs["importance/fine/ridge"], jobs["importance/fine/trees"]
    assert ridge.jobs["evaluate"] == "evaluate/fine/ridge"
    assert (ridge.options["choose"], ridge.options["n_repeats"]) == ("", 5)
    # What is fitted once more does not hang on how evaluations are scored, but on how they choose.
    assert "evaluate" not in trees.jobs
    assert trees.options["choose"] == "best"
    assert {"regions", "split", "targets", "tune"} < set(ridge.jobs)
    assert jobs_of(tmp_path, importance=None) == {}


def test_narrowed_and_cut_by_fold(tmp_path):
    asked = {"parcellations": ["f*"], "pipelines": ["ridge"], "n_repeats": 2}
    jobs = jobs_of(tmp_path, importance=asked, grid={"by_fold": ["fine"]})
    assert list(jobs) == ["importance/fine/ridge@0", "importance/fine/ridge@1", "importances/fine/ridge"]
    assert [job.options.get("fold") for job in jobs.values()] == [0, 1, None]
    whole = jobs["importances/fine/ridge"]
    assert whole.jobs == {"importance": ["importance/fine/ridge@0", "importance/fine/ridge@1"]}
    assert whole.without(["importance/fine/ridge@0"]) is None, "a mean over fewer folds is another number"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"pipelines": ["rdge"]}, "importance.pipelines: nothing matches: got 'rdge'.*did you mean 'ridge'"),
        ({"parcellations": ["coars"]}, "importance.parcellations: nothing matches: got 'coars'.*mean 'coarse'"),
        ({"n_repeats": 0}, "greater than or equal to 1"),
        ({"repeats": 3}, "repeats"),
    ],
)
def test_wrong_wishes_are_refused(asked, message):
    with pytest.raises(ValidationError, match=message):
        RegionsStudy.model_validate(CONTENT | {"importance": asked})


def test_workers_elsewhere_find_the_same(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 1))
    folds = make_folds(np.arange(40), n_outer=2, n_inner=2, seed=0)
    batches = [Batch(0, (0,)), Batch(1, (0,))]

    def problem_of(kind, config):
        return Problem(X, y + X[:, :1], ("regression",), ("iq",), folds, kind, {"regression": [config]})

    problem, scores = problem_of("ridge", {"alpha": 1.0}), np.ones((1, 2, 1, 2))

    found = evaluate(problem, PIPELINES["ridge"], scores)
    cut = CutProblem(problem, batches, {}, problem.names)
    task = open_task(write_payload(tmp_path / "kept", KeptImportanceTask(cut, found, 3)))
    here = importance_of_kept(problem, batches[1], found, n_repeats=3)[0, 1]
    _same(_done(task)[0, 1], here)

    trees = problem_of("lgbm", {"n_estimators": 5, "min_child_samples": 3})
    search = StoredSearch(scores, {"regression": list(trees.configs["regression"])}, {}, {})
    cut = CutProblem(trees, batches, {}, trees.names)
    task = open_task(write_payload(tmp_path / "chosen", ChosenImportanceTask(cut, search, "best", 3)))
    chosen = {"scores": {0: scores[0, 0]}, "configs": {0: trees.configs["regression"]}}
    here = importance_of_chosen(trees, batches[0], PIPELINES["lgbm"], n_repeats=3, **chosen)[0, 0]
    _same(_done(task)[0, 0], here)


def _done(task):
    values = {}
    for number, unit in enumerate(task.units()):
        values |= zip(unit.keys, task.do(number), strict=True)
    return task.read(values)


def _same(there, here):
    assert there.failure == here.failure == ""
    assert there.values.keys() == here.values.keys()
    assert np.ptp(here.values["permutation"]) > 0
    for kind, values in here.values.items():
        np.testing.assert_array_equal(there.values[kind], values)


def test_classes_of_the_study_are_part_of_the_key(tmp_path):
    own = {"kind": "sklearn", "regression": "cortax.learning.confounds:ConfoundRegressor", "parcellations": ["fine"]}
    jobs = jobs_of(tmp_path, pipelines={"mine": own}, targets={"iq": {"kind": "regression"}})
    assert list(jobs) == ["importance/fine/mine"]
    # As the method works it out again before it starts.
    check_class_code([own["regression"]], jobs["importance/fine/mine"].options["code"])
    assert jobs["importance/fine/mine"].options["code"]


def test_files_that_classes_are_said_to_read_are_part_of_the_key(tmp_path, monkeypatch):
    own = {"kind": "sklearn", "regression": "cortax.learning.confounds:ConfoundRegressor", "parcellations": ["fine"]}
    more = {"targets": {"iq": {"kind": "regression"}}}
    without = jobs_of(tmp_path, pipelines={"mine": own}, **more)["importance/fine/mine"].options
    table = tmp_path / "priors.h5"
    table.write_bytes(b"1")
    reads = {"pipelines": {"mine": own | {"reads": ["priors.h5"]}}}
    options = jobs_of(tmp_path, digest_of=file_digest, **reads, **more)["importance/fine/mine"].options
    assert options == without | {"code": without["code"] | {"file priors.h5": file_digest(table)}}
    monkeypatch.setattr(closure, "find_root", lambda: tmp_path)
    check_class_code([own["regression"]], options["code"])
    table.write_bytes(b"2")
    with pytest.raises(ProjectError, match="edited since the build began"):
        check_class_code([own["regression"]], options["code"])
    table.unlink()
    with pytest.raises(StudyError, match=r"pipelines\.mine\.reads: .*priors\.h5: no such file"):
        jobs_of(tmp_path, **reads, **more)
    with pytest.raises(ValidationError, match="reads goes with kind = 'sklearn' only; got kind = 'ridge'"):
        jobs_of(tmp_path, pipelines={"ridge": {"kind": "ridge", "reads": ["x"]}})
