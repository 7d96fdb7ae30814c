"""Who is studied: those that every source knows, in one order, and why the others are not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortax.errors import FoldError, InputError
from cortax.learning.cohort import join_cohort, open_cohort, open_targets, rows_of, save_cohort, save_target

IDS = st.lists(st.sampled_from([f"{i:03d}" for i in range(12)]), unique=True)


def phenotypes(subjects):
    """Each value tells its subject."""
    numbers = np.array([float(subject) for subject in subjects])
    columns = {"site=b": -numbers, "group": [f"fam-{s}" for s in subjects]}
    return pd.DataFrame(columns, index=pd.Index(list(subjects), dtype=object))


@given(IDS, IDS, IDS)
def test_the_cohort_is_the_intersection(table, maps, regions):
    both = sorted({*table} & {*maps} & {*regions})
    sources = {"load": maps, "table": regions}
    if not both:
        with pytest.raises(InputError, match="no subject is in all of the inputs"):
            join_cohort(phenotypes(table), ["site=b"], sources)
        return
    cohort, dropped = join_cohort(phenotypes(table), ["site=b"], sources)
    assert list(cohort.subjects) == both
    numbers = [float(subject) for subject in both]
    np.testing.assert_array_equal(cohort.confounds[:, 0], np.negative(numbers))
    assert cohort.groups.tolist() == [f"fam-{subject}" for subject in both]
    assert list(dropped["participant_id"]) == sorted(({*table} | {*maps} | {*regions}) - {*both})


def test_what_a_subject_lacks_is_said():
    _, dropped = join_cohort(phenotypes(["001", "002"]), [], {"images": ["001", "003"], "tables.b": ["001"]})
    reasons = dict(zip(dropped["participant_id"], dropped["reason"], strict=True))
    assert reasons == {"002": "lacks images, tables.b", "003": "lacks tables.b, phenotypes"}


def test_ids_of_another_form_are_shown_side_by_side():
    with pytest.raises(InputError) as caught:
        join_cohort(phenotypes(["001", "002"]), [], {"images": ["sub-001", "sub-002"]})
    assert "images: ['sub-001', 'sub-002'], phenotypes: ['001', '002']" in str(caught.value)


@pytest.fixture
def cohort():
    return join_cohort(phenotypes(["001", "002", "010"]), ["site=b"], {})[0]


def test_rows_follow_the_cohort_not_the_source(cohort):
    assert rows_of(cohort, ["010", "999", "002", "001"], "here").tolist() == [3, 2, 0]


def test_subjects_that_a_source_lacks_are_named(cohort):
    with pytest.raises(FoldError, match=r"job main-7: 2 subjects of the split are not there: \['001', '010'\]"):
        rows_of(cohort, ["002"], "job main-7")


def test_a_cohort_comes_back_as_it_was_saved(cohort, tmp_path):
    names = save_cohort(tmp_path, cohort)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    again = open_cohort(tmp_path)
    for name in ("subjects", "confound_names"):
        assert getattr(again, name) == getattr(cohort, name)
    for name in ("confounds", "groups"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cohort, name))
    saved = {name: (tmp_path / name).read_bytes() for name in names}
    save_cohort(tmp_path, again)
    assert {name: (tmp_path / name).read_bytes() for name in names} == saved


def test_targets_come_back_in_the_order_that_is_asked_for(cohort, tmp_path):
    values = {"sex": [0.0, 1.0, np.nan], "age": [9.5, np.nan, 10.0]}
    for name, task in (("sex", "classification"), ("age", "regression")):
        (tmp_path / name).mkdir()
        names = save_target(tmp_path / name, name, task, values[name])
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == sorted(names)
    found = open_targets([tmp_path / "age", tmp_path / "sex"], cohort)
    assert (found.names, found.tasks) == (("age", "sex"), ("regression", "classification"))
    np.testing.assert_array_equal(found.values, np.column_stack([values["age"], values["sex"]]))
    assert open_targets([tmp_path / "age", tmp_path / "sex"], cohort, only={"sex"}).names == ("sex",)


def test_a_target_of_other_subjects_or_twice_the_same_is_refused(cohort, tmp_path):
    save_target(tmp_path, "age", "regression", [9.5, 10.0])
    with pytest.raises(FoldError, match=r"target 'age' has shape \(2,\), not \(3,\)"):
        open_targets([tmp_path], cohort)
    save_target(tmp_path, "age", "regression", [9.5, 10.0, 11.0])
    with pytest.raises(FoldError, match="target 'age' comes twice"):
        open_targets([tmp_path, tmp_path], cohort)
