"""Who the subjects of a study are: whose rows stay together, and tables of every type, index and emptiness."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.brain.data.phenotype_table import People, RowRules, read_phenotypes, read_target_values
from cortax.errors import FoldError, InputError
from cortax.learning.cohort import join_cohort
from cortax.learning.confounds import check_rank
from cortax.learning.folds import check_folds, check_targets, make_folds

N = 8
PEOPLE = [f"p{i}" for i in range(N)]


def write(folder, frame, name="p.tsv"):
    if name.endswith("parquet"):
        frame.to_parquet(folder / name)
    else:
        frame.to_csv(folder / name, sep="\t", index=False, na_rep="n/a")
    return folder / name


def people(path, *id_columns, prefix="", **about):
    return People((path,), RowRules(id_columns or ("participant_id",), prefix), **about)


def rows(columns):
    """Two rows a person, told apart in the given way."""
    frame = pd.DataFrame({columns[0]: np.repeat(PEOPLE, 2), columns[-1]: ["one", "two"] * N})
    return frame.assign(age=np.arange(2.0 * N), clinic=["x", "y"] * N, family=np.repeat(["f", "g", "h", "i"], 4))


@pytest.mark.parametrize("columns", [
    ["participant_id", "session"], ["Subject ID", "run"], ["src_subject_id", "eventname"], ["RID", "VISCODE"],
    ["participant_id", "hand"], ["code", "visit_2"], ["ID", "wave"],
])  # fmt: skip
def test_rows_of_a_person_are_a_group_by_whatever_columns_they_are_told_apart(tmp_path, columns):
    path = write(tmp_path, rows(columns))
    found = read_phenotypes(people(path, *columns))
    assert list(found.table["group"]) == [name.split("_")[0] for name in found.table.index]
    assert found.kept_together == "16 rows of 8 people; the rows of a person are a group"
    folds = make_folds(found.table["group"].to_numpy(str), n_outer=2, n_inner=2, seed=1)
    check_folds(folds, [name.split("_")[0] for name in found.table.index])
    alone = read_phenotypes(people(path, *columns), group=False)
    assert list(alone.table["group"]) == list(alone.table.index)
    assert alone.n_divided == N
    assert "as the study says (group = false)" in alone.kept_together
    assert read_phenotypes(people(path, *columns), group="family").table["group"].nunique() == 4
    with pytest.raises(InputError, match="'clinic': 8 people have rows in several groups"):
        read_phenotypes(people(path, *columns), group="clinic")


def test_sessions_and_parts_of_names_are_told_apart_too(tmp_path):
    once = pd.DataFrame({"participant_id": PEOPLE, "age": range(N)})
    found = read_phenotypes(people(write(tmp_path, once), sessions=["a", "b"]))
    assert list(found.table["group"]) == [name.removesuffix("_a").removesuffix("_b") for name in found.table.index]
    for ending, options in (("_ses-{}", {}), ("_ses-1_run-{}", {}), ("_{}", {"endings": ["1", "2"]})):
        twice = pd.DataFrame({"participant_id": [f"{p}{ending.format(k)}" for p in PEOPLE for k in (1, 2)]})
        found = read_phenotypes(people(write(tmp_path, twice.assign(x=1))), **options)
        assert list(found.table["group"]) == list(np.repeat(PEOPLE, 2))


def test_people_whose_names_end_as_sessions_do_stay_themselves(tmp_path):
    frame = pd.DataFrame({"participant_id": np.repeat(["NYU_1", "NYU_2"], 2), "session": ["1", "2"] * 2})
    path = write(tmp_path, frame)
    found = read_phenotypes(people(path, "participant_id", "session", exclude=["NYU_1"]), endings=["1", "2"])
    assert list(found.table["group"]) == ["NYU_2", "NYU_2"]
    assert found.warnings == ()
    whole = pd.DataFrame({"participant_id": ["NYU_2_1", "NYU_2_10", "NYU_1_1_2"]})
    found = read_phenotypes(people(write(tmp_path, whole)), endings=["1", "1_2", "10", "2"])
    assert found.table["group"].to_dict() == {"NYU_1_1_2": "NYU_1", "NYU_2_1": "NYU_2", "NYU_2_10": "NYU_2"}


def test_where_it_cannot_be_told_who_the_person_is_cortax_asks(tmp_path):
    frame = pd.DataFrame({"site": ["x"] * N + ["y"] * N, "code": PEOPLE * 2, "age": range(2 * N)})
    path = write(tmp_path, frame)
    with pytest.raises(InputError, match=r"id = \['site', 'code'\]: which of them is the person.*group = false"):
        read_phenotypes(people(path, "site", "code"))
    assert read_phenotypes(people(path, "site", "code"), group=False).n_divided == 0
    both = frame.rename(columns={"code": "subject"})
    assert read_phenotypes(people(write(tmp_path, both), "site", "subject")).table["group"].nunique() == 2 * N


@pytest.mark.parametrize("group", [None, False, "family"])
@pytest.mark.parametrize("kind", ["p.tsv", "p.parquet"])
def test_somebody_without_a_confound_is_left_out_with_or_without_groups(tmp_path, kind, group):
    frame = pd.DataFrame({"participant_id": PEOPLE, "age": [1.5, np.nan, *range(2, N)], "family": list("aabbccdd")})
    found = read_phenotypes(people(write(tmp_path, frame, kind)), confounds=["age"], group=group, site="family")
    assert [d.participant_id for d in found.dropped] == ["p1"]
    expected = list("abbccdd") if group else [p for p in PEOPLE if p != "p1"]
    assert list(found.table["group"]) == expected


@settings(max_examples=60)
@given(data=st.data(), index=st.booleans(), prefix=st.sampled_from(["", "sub-"]))
def test_every_pandas_type_of_every_column_is_read_or_refused_in_words(tmp_path_factory, data, index, prefix):
    """Nothing but an error of cortax, and where it reads, as the text file of the same table does."""
    folder = tmp_path_factory.mktemp("p")
    numbers, texts = st.integers(0, 3), st.sampled_from(["a", "b", "NULL", "x y"])
    kinds = st.sampled_from([
        (numbers, "Int64"), (numbers, "int8"), (numbers, "Float32"), (st.booleans(), "boolean"), (texts, "string"),
        (texts, object), (texts, "category"), (numbers, "category"), (texts, "string[pyarrow]"),
    ])  # fmt: skip
    frame = pd.DataFrame({"id": data.draw(st.sampled_from([[f"{prefix}{i}" for i in range(6)], list(range(6))]))})
    for name in ("conf", "grp", "tgt", "strat"):
        values, dtype = data.draw(kinds)
        gaps = st.nothing() if dtype == "int8" else st.none()
        frame[name] = pd.array(data.draw(st.lists(values | gaps, min_size=6, max_size=6)), dtype=dtype)
    results = []
    for kind in ("p.parquet", "p.tsv"):
        path = write(folder, frame.set_index("id") if index and kind == "p.parquet" else frame, kind)
        try:
            found = read_phenotypes(
                people(path, "id", prefix=prefix), group="grp", stratify="strat", confounds=["conf"]
            )
            values, _ = read_target_values(people(path, "id", prefix=prefix), {"tgt": {"kind": "regression"}})
            results.append(
                (found.table["group"].tolist(), found.confounds, found.table[list(found.confounds)].to_numpy(), values)
            )
        except InputError as error:
            results.append(
                str(error)
                .replace(kind, "")
                .replace("1.0", "1")
                .replace("2.0", "2")
                .replace("3.0", "3")
                .replace("0.0", "0")
            )
    first, second = results
    if isinstance(first, str) or isinstance(second, str):
        assert first == second
    else:
        assert first[:2] == second[:2]
        np.testing.assert_array_equal(first[2], second[2])
        pd.testing.assert_frame_equal(first[3], second[3])


def test_names_of_columns_are_free(tmp_path):
    frame = pd.DataFrame({"participant_id": PEOPLE, "group": [0, 1] * 4, "site": [1, 2, 3, 1] * 2, "stratum": range(N)})
    found = read_phenotypes(
        people(write(tmp_path, frame)), confounds=["group", "site", "stratum"], site="site", stratify="group"
    )
    assert found.confounds == ("group (confound)", "site (confound)", "stratum (confound)")
    np.testing.assert_array_equal(found.table["group (confound)"], frame["group"])
    assert list(found.table["group"]) == PEOPLE
    assert list(found.table["site"]) == [str(v) for v in frame["site"]]
    frame["session"], frame["subject"] = "mine", "me"
    assert len(read_phenotypes(people(write(tmp_path, frame), sessions=["a", "b"])).table) == 2 * N


def test_confounds_of_a_rank_near_the_number_of_training_subjects_are_refused():
    rng = np.random.default_rng(0)
    folds = make_folds(np.arange(40), n_outer=4, n_inner=2, seed=1)
    check_rank(rng.normal(size=(40, 7)), folds)
    check_rank(np.repeat(rng.normal(size=(40, 1)), 30, axis=1), folds)
    check_rank(np.empty((40, 0)), folds)
    with pytest.raises(FoldError, match=r"outer fold 0, inner fold 0, train: 9 confounds of rank 9 for 15 subjects"):
        check_rank(rng.normal(size=(40, 9)), folds)


def test_a_site_of_one_class_is_named():
    sites = np.repeat(["north", "south", "west"], 8)
    folds = make_folds(np.arange(24), scheme="leave-one-site-out", sites=sites, n_inner=2, seed=1)
    sex = np.array([0.0, 1.0] * 8 + [1.0] * 8)
    with pytest.raises(
        FoldError, match=r"outer fold 0, inner fold 0 train \(sites \['west'\]\): 0 of class 0, 8 of class 1"
    ):
        check_targets(folds, sex[:, None], kinds=["classification"], names=["sex"], sites=sites)


def test_who_lacks_a_site_or_a_preserved_covariate_is_left_out(tmp_path):
    n = 12
    frame = pd.DataFrame(
        {
            "participant_id": [f"p{i:02d}" for i in range(n)],
            "scanner": ["x", "y", None, *["x", "y"] * 4, "y"],
            "age": [20.0 + i * (i != 5) for i in range(n)],
            "hand": ["l", "r", "r", None, *["l", "r"] * 4],
        }
    )
    frame.loc[5, "age"] = np.nan
    path = write(tmp_path, frame)
    asked = {"site": "scanner", "preserve": ["age", "hand"], "categorical": [], "unseen": "pooled"}
    found = read_phenotypes(path, confounds=["age"], harmonise=asked)
    assert [(one.participant_id, one.reason) for one in found.dropped] == [
        ("p02", "missing site: scanner"),
        ("p03", "missing preserved covariate: hand"),
        ("p05", "missing preserved covariate: age"),
    ]
    assert found.confounds == ("age",)
    preserved = {"age": "preserved: age", "hand=r": "preserved: hand=r"}
    assert found.harmonise == {"site": "scanner site", "preserved": preserved, "unseen": "pooled"}
    assert list(found.table["scanner site"]) == ["x", "y", "y", "y", "x", "y", "x", "y", "y"]
    np.testing.assert_array_equal(found.table["preserved: age"], found.table["age"])
    assert read_phenotypes(path).harmonise is None
    # What the jobs between hand on, as files.
    found.table.to_parquet(tmp_path / "phenotype.parquet")
    table, about = pd.read_parquet(tmp_path / "phenotype.parquet"), json.loads(json.dumps(found.harmonise))
    cohort, dropped = join_cohort(table, found.confounds, {"images": ["p11", "p04", "p00", "p01"]}, about)
    assert cohort.subjects == ("p00", "p01", "p04", "p11")
    assert list(dropped["participant_id"]) == ["p06", "p07", "p08", "p09", "p10"]
    assert (cohort.harmonise.site_names, cohort.harmonise.preserved) == (("x", "y"), ("age", "hand=r"))
    expected = [[0, 20, 0], [1, 21, 1], [1, 24, 0], [1, 31, 1]]
    np.testing.assert_array_equal(cohort.harmonise.site_columns, expected)
    frame["scanner"] = None
    with pytest.raises(InputError, match="column 'scanner' is empty"):
        read_phenotypes(write(tmp_path, frame), harmonise=asked)
