"""The check before a build lets good studies pass, and looks at the subjects that will be studied: no others.

What it refuses is in `test_bad_input.py`.
"""

import numpy as np
import pandas as pd
import pytest

from cortax.errors import FoldError, InputError, StudyError
from cortax.workloads.regions.check import check_study
from cortax.workloads.regions.study.study import RegionsStudy

N = 24
IDS = [f"sub-{i:03d}" for i in range(N)]
TABLE = {
    "participant_id": IDS,
    "family": [f"fam-{i // 2:02d}" for i in range(N)],
    "site": [f"site-{i // 8}" for i in range(N)],
    "age": np.arange(N) + 0.5,
    "sex": ["F", "M"] * (N // 2),
}


@pytest.fixture
def look(tmp_path):
    """Check a study, given as what differs from a good one, of one table of regions."""

    def look(table=TABLE, regions=IDS, *, about=None, **sections):
        pd.DataFrame(table).to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
        pd.DataFrame({"participant_id": regions, "left": 1.0}).to_csv(tmp_path / "aparc.csv", index=False)
        content = {
            "name": "good",
            "title": "Good",
            "tables": {"aparc": {"files": ["aparc.csv"]}},
            "phenotypes": about or {"file": "participants.tsv", "group": "family"},
            "targets": {"sex": {"kind": "classification"}},
            "splits": {"n_outer": 3, "n_inner": 2},
            "pipelines": {"ridge": {"kind": "ridge"}},
        }
        before = sorted(tmp_path.rglob("*"))
        check_study(RegionsStudy.model_validate({**content, **sections}), tmp_path)
        assert sorted(tmp_path.rglob("*")) == before

    return look


def test_a_study_of_tables_only(look):
    look()


def test_sites_to_harmonise(look, capsys):
    about = {"file": "participants.tsv", "group": "family", "site": "site"}
    sites = {**TABLE, "site": [f"site-{i // 2 % 2}" for i in range(N)]}
    harmonise = {"preserve": ["age"]}
    look(sites, about=about, harmonise=harmonise)
    assert "warning" not in capsys.readouterr().out
    with pytest.raises(InputError, match=r"harmonise, site: got 'scanner', must be one of"):
        look(sites, about=about, harmonise={"site": "scanner"})
    with pytest.raises(InputError, match="preserved covariate: no such column: got 'iq'"):
        look(sites, about=about, harmonise={"preserve": ["iq"]})
    rare = {**sites, "site": ["rare", *sites["site"][1:]]}
    with pytest.raises(FoldError, match=r"participants\.tsv: outer fold \d.*\['rare'\].*unseen = 'pooled'"):
        look(rare, about=about, harmonise=harmonise)
    look(rare, about=about, harmonise={**harmonise, "unseen": "pooled"})
    assert "warning: study 'good': harmonise: site 'rare' has no effect of its own in" in capsys.readouterr().out
    # Those who have a target may lack a site that everybody together has.
    some = {**sites, "age": [np.nan if s == "site-1" else a for s, a in zip(sites["site"], TABLE["age"], strict=True)]}
    some["age"][2] = 3.5
    with pytest.raises(FoldError, match=r"target 'age': outer fold \d.*\['site-1'\]"):
        look(some, about=about, harmonise={}, targets={"age": {"kind": "regression"}})


def test_what_splits_training_rows_itself_must_keep_families_together(look):
    pipeline = {"kind": "sklearn", "classification": "sklearn.linear_model:RidgeClassifierCV"}
    own = {"pipelines": {"own": pipeline}}
    with pytest.raises(StudyError, match=r"study 'good': pipelines\.own: RidgeClassifierCV .* no probabilities"):
        look(**own)
    look(about={"file": "participants.tsv"}, **own)
    look(pipelines={"own": {**pipeline, "classification": "sklearn.linear_model:LogisticRegressionCV"}})


def test_whole_families_at_each_site(look):
    about = {"file": "participants.tsv", "group": "family", "site": "site"}
    splits = {"scheme": "leave-one-site-out", "n_inner": 2}
    look(about=about, splits=splits)
    with pytest.raises(FoldError, match=r"12 groups \(column 'family'\) have subjects in two sites or more"):
        look({**TABLE, "site": ["a", "b"] * (N // 2)}, about=about, splits=splits)


def test_sessions_are_subjects_of_one_person(look):
    tables = {"aparc": {"files": ["aparc.csv", "aparc.csv"], "sessions": ["1", "2"]}}
    about = {"file": "participants.tsv", "sessions": ["1", "2"], "group": "subject"}
    look(about=about, tables=tables)
    with pytest.raises(InputError, match="no subject is in all of the inputs"):
        look(tables=tables)


def test_only_subjects_of_all_sources_count(look):
    """Both sexes are in the table, one in the regions."""
    men = [subject for subject, sex in zip(IDS, TABLE["sex"], strict=True) if sex == "M"]
    look(regions=[*men, *IDS[:12:2]])
    with pytest.raises(FoldError, match=r"participants\.tsv: target 'sex', outer fold 0.*0 of class 0"):
        look(regions=men)
    with pytest.raises(FoldError, match="3 folds need at least 3 groups; there are 2"):
        look(regions=IDS[:4])


def test_an_estimator_class_and_its_parameters_are_tried(look):
    pipeline = {"kind": "sklearn", "classification": "sklearn.linear_model:LogisticRegression"}
    look(pipelines={"own": {**pipeline, "space": {"C": [1.0, 2.0]}}})
    with pytest.raises(StudyError, match=r"pipelines\.own: .*LogisticRegression: parameter got 'D'"):
        look(pipelines={"own": {**pipeline, "space": {"D": [1.0]}}})


def test_an_estimator_of_the_other_task_alone_is_told_as_such(look):
    with pytest.raises(StudyError, match=r"pipelines\.own: .* an estimator for \['regression'\] only.* need classif"):
        look(pipelines={"own": {"kind": "sklearn", "regression": "sklearn.linear_model:Lasso"}})


def test_a_rule_that_a_pipeline_cannot_follow_is_refused_before_anything_runs(look):
    pipeline = {"kind": "sklearn", "classification": "sklearn.linear_model:LogisticRegression"}
    simplest = {"choose": "one-standard-error"}
    look(pipelines={"own": {**pipeline, "n_configs": 1}, "ridge": {"kind": "ridge"}}, evaluate=simplest)
    with pytest.raises(StudyError, match=r"pipelines\.own: pipeline 'own': 'one-standard-error' takes the simplest"):
        look(pipelines={"own": {**pipeline, "space": {"C": [1.0, 2.0]}}}, evaluate=simplest)


GRADES = {**TABLE, "grade": ["a", "b", "c"] * (N // 3)}
GRADED = {
    "targets": {"grade": {"kind": "classification"}, "sex": {"kind": "classification"}},
    "phenotypes": {"file": "participants.tsv", "group": False},
}
LEVELS = {"targets": {"grade": {"kind": "ordinal", "order": ["c", "a", "b"]}}, "phenotypes": GRADED["phenotypes"]}
THREE = "target 'grade' is of 3 classes: "


def test_several_classes_and_ordered_ones_pass(look):
    more = {
        "importance": {},
        "tables": {name: {"files": ["aparc.csv"]} for name in ("one", "two")},
        "ensembles": {"all": {"parcellations": ["*"], "strategies": ["grid", "voted", "stacked"]}},
        "pipelines": {"ridge": {"kind": "ridge"}, "trees": {"kind": "lgbm", "strategy": {"staged": True}}},
    }
    for targets in (GRADED["targets"], LEVELS["targets"]):
        look(GRADES, about=GRADED["phenotypes"], targets=targets)
        look(GRADES, about=GRADED["phenotypes"], targets=targets, **more)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"search": {"classification": "f1"}},
            f"search.classification, pipelines.ridge: {THREE}scorer 'f1' cannot score",
        ),
        (
            {"search": {"classification": "roc_auc"}, "pipelines": {"svm": {"kind": "svm"}}},
            rf"search.classification, pipelines.svm: {THREE}scorer 'roc_auc' cannot score .*this kind of pipeline",
        ),
        (
            {"evaluate": {"metrics": {"classification": ["accuracy", "f1"]}}},
            f"evaluate.metrics.classification: {THREE}metric 'f1' cannot score a classification of 3 classes",
        ),
    ],
)
def test_what_is_not_for_several_classes_is_refused_with_section_and_target(look, sections, message):
    with pytest.raises(StudyError, match=message):
        look(GRADES, about=GRADED["phenotypes"], targets=GRADED["targets"], **sections)


def test_a_class_that_a_fold_lacks_is_named(look):
    rare = {**GRADES, "grade": ["a", "b"] * 11 + ["c", "c"]}
    with pytest.raises(FoldError, match=r"target 'grade', outer fold 0, .*: 0 of class 'c', \d+ of class"):
        look(rare, about=GRADED["phenotypes"], targets=GRADED["targets"])


def test_order_goes_with_ordinal_targets(look):
    with pytest.raises(ValueError, match=r"order = \['a', 'b', 'c'\] goes with kind = 'ordinal' only"):
        look(GRADES, targets={"grade": {"kind": "classification", "order": ["a", "b", "c"]}})
    assert "order" not in RegionsStudy.model_fields["targets"].annotation.__args__[1](kind="ordinal").model_dump()
