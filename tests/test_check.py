"""The check before a build lets good studies pass, and looks at the subjects that will be studied: no others.

What it refuses is in `test_bad_input.py`.
"""

import numpy as np
import pandas as pd
import pytest

from cortax.errors import FoldError, InputError, StudyError
from cortax.grid.check import check_study
from cortax.study import Study

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
        check_study(Study.model_validate({**content, **sections}), tmp_path)
        assert sorted(tmp_path.rglob("*")) == before

    return look


def test_a_study_of_tables_only(look):
    look()


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
