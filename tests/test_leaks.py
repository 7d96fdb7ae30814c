"""The guards against leakage on what a build of a study left behind."""

import json
import sys

import numpy as np
import pytest

from cortax.errors import ProjectError
from cortax.learning.cohort import Cohort, save_cohort, save_target
from cortax.learning.folds import make_folds, save_folds
from cortax.learning.regions import save_regions
from cortax.provenance import outputs
from cortax.workloads.regions.leaks import _some, check_leaks
from cortax.workloads.regions.study.study import RegionsStudy

STUDY = {
    "name": "tiny",
    "title": "Tiny",
    "tables": {"dkt": {"files": ["dkt.csv"]}},
    "phenotypes": {"file": "p.tsv"},
    "targets": {"iq": {"kind": "regression"}, "sex": {"kind": "classification", "positive": "F"}},
    "pipelines": {"ridge": {"kind": "ridge"}},
}
LEAKING = """
import numpy as np
from sklearn.linear_model import Ridge

class Remembering(Ridge):
    seen = []

    def predict(self, X):
        self.seen.append(X)
        return super().predict(X)

    def fit(self, X, y):
        super().fit(X, y)
        self.intercept_ += sum(rows.mean() for rows in self.seen)
        return self
"""


@pytest.fixture
def built(tmp_path):
    """A build of 60 subjects; returns what makes or changes it."""
    rng = np.random.default_rng(0)
    n, subjects = 60, tuple(f"sub-{i:02d}" for i in range(60))
    data = {
        "regions": rng.normal(size=(n, 12)),
        "iq": rng.normal(size=n),
        "sex": (rng.random(n) > 0.5).astype(float),
        "confounds": rng.normal(size=(n, 1)),
    }
    groups = np.array([f"fam-{i // 2}" for i in range(n)])

    def save():
        jobs, made = {}, tmp_path / "workdirs/main"
        for number, name in enumerate(["split", "target/iq", "target/sex", "table/dkt"]):
            folder = made / f"main-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            jobs[name] = folder.name
            if name == "split":
                save_cohort(folder, Cohort(subjects, data["confounds"], ("age",), groups))
                save_folds(folder, make_folds(groups, n_outer=3, n_inner=2, seed=0))
            elif name == "table/dkt":
                save_regions(folder, data["regions"], subjects, [f"r{i}" for i in range(12)])
            else:
                task = {"iq": "regression", "sex": "classification"}[name[7:]]
                save_target(folder, name[7:], task, data[name[7:]])
            outputs.record(
                folder, [path.name for path in folder.iterdir() if path.name != "outputs.json"], method="m", name=name
            )
        (tmp_path / "results/tiny").mkdir(parents=True, exist_ok=True)
        (tmp_path / "results/tiny/build.json").write_text(json.dumps({"jobs": jobs}))
        return tmp_path

    return data, save


def found(root, study=STUDY):
    return {
        checked.what: [finding.message for finding in checked.findings]
        for checked in check_leaks(root, RegionsStudy(**study))
    }


def test_a_sound_study_passes(built):
    _, save = built
    assert found(save()) == {
        "1 confounds": [],
        "regions of dkt, 60 subjects x 12 columns": [],
        "pipeline ridge, classification (sex)": [],
        "pipeline ridge, regression (iq)": [],
    }


def test_leaks_of_the_data_are_named(built):
    data, save = built
    data["confounds"][:, 0] = -2 * data["iq"]
    data["regions"][:, 5] = data["sex"]
    data["regions"][40] = data["regions"][3]
    data["sex"][40] = data["sex"][3]
    said = found(save())
    assert said["1 confounds"] == [
        "confound 'age' is a monotone copy (rank correlation -1.000000) of target 'iq' (60 subjects)"
    ]
    assert said["regions of dkt, 60 subjects x 12 columns"] == [
        "subjects 'sub-03' (group fam-1) and 'sub-40' (group fam-20) are equal",
        "region 'r5' equals target 'sex' (60 subjects)",
    ]


def test_a_class_of_the_study_that_leaks_is_named(built, tmp_path, monkeypatch):
    _, save = built
    (tmp_path / "leaking_classes.py").write_text(LEAKING)
    monkeypatch.syspath_prepend(tmp_path)
    pipelines = {"mine": {"kind": "sklearn", "regression": "leaking_classes:Remembering", "classification": None}}
    study = {**STUDY, "pipelines": pipelines, "targets": {"iq": STUDY["targets"]["iq"]}}
    said = found(save(), study)["pipeline mine, regression (iq)"]
    sys.modules.pop("leaking_classes")
    assert any("what is fitted changed once it had predicted the test rows" in message for message in said)


def test_a_study_that_was_not_built_is_said(built):
    _, save = built
    root = save()
    with pytest.raises(ProjectError, match="no results of study 'other'"):
        found(root, {**STUDY, "name": "other"})
    targets = {**STUDY["targets"], "new": {"kind": "regression"}}
    with pytest.raises(ProjectError, match="was built without 'target/new'; build it again"):
        found(root, {**STUDY, "targets": targets})


def test_the_subjects_that_a_pipeline_is_checked_on_are_of_all_sites():
    site, test = np.repeat(np.arange(6), 150), np.arange(900) % 3 == 0
    some = _some(np.arange(900), test)
    assert len(set(some.tolist())) == 300
    assert set(site[some][test[some]]) == set(site[some][~test[some]]) == set(range(6))
    few = np.array([0, 1, 2, 5, 9])
    np.testing.assert_array_equal(_some(few, test), few)
