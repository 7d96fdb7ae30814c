"""Rows of tables: selected, joined, listed and called as a study says; what sidecars say of them."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest

from cortax.brain.data.dropped import NOT_LISTED, Dropped, read_dropped, write_dropped
from cortax.brain.data.people_files import people_digests, people_files
from cortax.brain.data.phenotype_table import People, people_of, read_phenotypes, read_target_values
from cortax.brain.data.rows import NOT_SELECTED, RowRules, read_rows
from cortax.brain.data.sidecar import read_sidecar
from cortax.brain.data.tables import read_region_rows, read_regions
from cortax.data.id_rule import IdRule
from cortax.errors import InputError, StudyError
from cortax.workloads.regions.study.sections import Phenotypes, Table

BASE = "eventname == 'base'"
RULE = {"pattern": "NDAR_INV(.*)", "to": "sub-NDARINV{1}"}
EVENTS = """src_subject_id,eventname,age,sex
NDAR_INVA,base,9,1
NDAR_INVA,year 2,11,1
NDAR_INVB,base,10,2
NDAR_INVB,year 2,,2
NDAR_INVC,year 2,12,2
NDAR_INVD,base,8,1
"""


def write(folder, text, name="p.csv"):
    (folder / name).write_text(text)
    return folder / name


def people(*paths, **about):
    given = Phenotypes(file=[str(path) for path in paths], id=["src_subject_id"], **about)
    return people_of(given.model_dump(), paths[0].parent)


# --- where and id_rule


def test_rows_that_are_not_selected_are_counted_and_named(tmp_path):
    path = write(tmp_path, EVENTS)
    found = read_phenotypes(people(path, where=BASE, id_rule=RULE), confounds=["age"])
    assert list(found.table.index) == ["sub-NDARINVA", "sub-NDARINVB", "sub-NDARINVD"]
    assert found.table["age"].tolist() == [9, 10, 8]
    assert found.dropped == (Dropped("sub-NDARINVC", NOT_SELECTED, str(path)),)
    assert found.notes == ("where selects 3 of 6 rows; 3 are left out",)
    values, _ = read_target_values(people(path, where=BASE, id_rule=RULE), {"age": {"kind": "regression"}})
    assert values["age"].tolist() == [9, 10, 8]
    (note,) = read_phenotypes(people(path, where="age > 10 and eventname == 'year 2'")).notes
    assert note == "where selects 2 of 6 rows; 4 are left out, 1 of them because a value that decides is missing"


def test_rows_that_are_left_out_may_be_called_anything(tmp_path):
    path = write(tmp_path, EVENTS + "PHANTOM,base,1,1\nNDAR_INVA,base,3,1\n,base,3,1\n")
    chosen = "eventname == 'base' and age >= 8 and src_subject_id is not missing"
    found = read_phenotypes(people(path, where=chosen, id_rule=RULE))
    assert len(found.table) == 3
    assert [drop.participant_id for drop in found.dropped] == ["PHANTOM", "sub-NDARINVC"]


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({}, r"identifiers that occur more than once: \['NDAR_INVA', 'NDAR_INVB'\].*`where` which rows are meant"),
        ({"where": "event == 'base'"}, r"p\.csv: where = .*no such column: 'event';.*did you mean 'eventname'\?"),
        ({"where": "eventname == 'Base'"}, r"p\.csv: where selects 0 of 6 rows; 6 are left out"),
        ({"where": "eventname == 1"}, "column 'eventname' holds text, such as 'base'"),
        (
            {"where": BASE, "id_rule": {"pattern": "NDAR_INV([AB])", "to": "{1}"}},
            r"column 'src_subject_id': id_rule .*1 of 3 identifiers do not match it: \['NDAR_INVD'\]",
        ),
        (
            {"where": BASE, "id_rule": {"pattern": "(NDAR_INV).*", "to": "{1}"}},
            r"two identifiers become one: 'NDAR_INVA' and 'NDAR_INVB' are both 'NDAR_INV'",
        ),
    ],
)
def test_wrong_rows_are_errors(tmp_path, about, said):
    with pytest.raises(InputError, match=said):
        read_phenotypes(people(write(tmp_path, EVENTS), **about))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"pattern": "(", "to": "{1}"}, "is no regular expression"),
        ({"pattern": "a", "to": "{1}"}, r"group got '1', must be one of \['0'\]"),
        ({"pattern": "(?P<id>a)", "to": "{ib}"}, "did you mean 'id'"),
    ],
)
def test_rules_that_cannot_be_applied_are_errors_of_the_study(rule, said):
    with pytest.raises(StudyError, match=said):
        IdRule(**rule)
    with pytest.raises(ValueError, match=said):
        Phenotypes(file="p.csv", id_rule=rule)
    assert IdRule("(?P<id>.)(x)?", "{id}-{2}{0}").apply(["a", "bx"], "") == ["a-a", "b-xbx"]


def test_region_tables_select_rows_too(tmp_path):
    path = write(tmp_path, EVENTS.replace("sex", "lh_thickness"))
    rule = {"id_columns": ["src_subject_id"], "where": BASE, "id_rule": RULE}
    found = read_region_rows([path], **rule)
    assert found.table.subjects == ("sub-NDARINVA", "sub-NDARINVB", "sub-NDARINVD")
    assert found.table.columns == ("age", "lh_thickness")  # what `where` names is no region
    assert [drop.participant_id for drop in found.dropped] == ["sub-NDARINVC"]
    assert found.notes == ("p.csv: where selects 3 of 6 rows; 3 are left out",)
    assert read_regions(path, **rule, columns="lh_.*").columns == ("lh_thickness",)
    with pytest.raises(InputError, match="did you mean 'eventname'"):
        read_regions(path, id_columns=["src_subject_id"], where="eventnam == 'base'")
    with pytest.raises(ValueError, match="write `==` to compare"):
        Table(files=["p.csv"], where="eventname = 'base'")


# --- include and exclude


def listed(tmp_path, **about):
    found = read_phenotypes(people(write(tmp_path, EVENTS), where=BASE, **about))
    return list(found.table.index), {drop.participant_id: drop.reason for drop in found.dropped}, found


def test_lists_of_people_keep_their_reasons(tmp_path):
    write(tmp_path, "src_subject_id,reason\nNDAR_INVA,motion\nNDAR_INVX,\nNDAR_INVC,\n", "qc.csv")
    kept, dropped, found = listed(tmp_path, exclude="qc.csv")
    assert kept == ["NDAR_INVB", "NDAR_INVD"]
    assert dropped == {"NDAR_INVA": "excluded: motion", "NDAR_INVC": NOT_SELECTED}
    assert found.dropped[0].file == str(tmp_path / "qc.csv")
    assert found.warnings == ("exclude: nobody has 1 of its identifiers: ['NDAR_INVX']",)
    assert found.notes[-1].startswith("lists leave out 1 of 3 rows: 1 x 'excluded'")
    write(tmp_path, "# passed\n\nNDAR_INVB # twice\nNDAR_INVD\n", "kept.txt")
    kept, dropped, found = listed(tmp_path, include="kept.txt", exclude=["NDAR_INVD"])
    assert kept == ["NDAR_INVB"]
    assert (dropped["NDAR_INVA"], dropped["NDAR_INVD"]) == ("not in `include`", "excluded")
    assert found.warnings == ()


@pytest.mark.parametrize("name", ["NDAR_INVA", "sub-NDARINVA"])
def test_lists_have_identifiers_as_they_are_or_as_they_become(tmp_path, name):
    found = read_phenotypes(people(write(tmp_path, EVENTS), where=BASE, id_rule=RULE, exclude=[name]))
    assert list(found.table.index) == ["sub-NDARINVB", "sub-NDARINVD"]
    assert found.warnings == ()


@pytest.mark.parametrize("entry", ["NDAR_INVA_base", "sub-A_base", "NDAR_INVA", "sub-A"])
def test_a_rule_of_the_first_column_goes_for_entries_of_several(tmp_path, entry):
    rules = RowRules(
        ["src_subject_id", "eventname"], id_rule={"pattern": "NDAR_INV([A-Z])", "to": "sub-{1}"}, where=BASE
    )
    path = write(tmp_path, EVENTS)
    for given in ([entry], write(tmp_path, f"{entry}\n", "out.txt")):
        found = read_phenotypes(People((path,), rules, exclude=given))
        assert list(found.table.index) == ["sub-B_base", "sub-D_base"]
        assert found.warnings == ()
    table = write(tmp_path, "src_subject_id,eventname\nNDAR_INVA,base\n", "out.csv")
    assert len(read_phenotypes(People((path,), rules, exclude=table)).table) == 2


def test_an_entry_that_is_written_anew_is_not_written_anew_again(tmp_path):
    rule = {"pattern": "(.*)", "to": "x{1}"}
    path = write(tmp_path, "id,age\nA,1\nB,2\nxA,3\n", "p.csv")
    for entry, left in (("A", ["xB", "xxA"]), ("xB", ["xA", "xxA"]), ("xA", ["xA", "xB"])):
        found = read_phenotypes(People((path,), RowRules(["id"], id_rule=rule), exclude=[entry]))
        assert (list(found.table.index), found.warnings) == (left, ())


def test_an_entry_is_a_row_or_all_rows_of_a_person(tmp_path):
    path = write(tmp_path, EVENTS)
    rules = RowRules(["src_subject_id", "eventname"])
    for entry, left in (("NDAR_INVA", 4), ("NDAR_INVA_base", 5)):
        found = read_phenotypes(People((path,), rules, exclude=[entry]))
        assert len(found.table) == left
    found = read_phenotypes(People((path,), rules, exclude=write(tmp_path, "src_subject_id\nNDAR_INVB\n", "q.csv")))
    assert [drop.participant_id for drop in found.dropped] == ["NDAR_INVB_base", "NDAR_INVB_year 2"]


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"exclude": "gone.txt"}, r"gone\.txt: missing file"),
        ({"exclude": "qc.tsv"}, r"qc\.tsv: no such identifier column: got 'src_subject_id', must be one of \['id'\]"),
        ({"include": ["nobody"]}, r"p\.csv: `include` and `exclude` leave nobody of 3 subjects"),
    ],
)
def test_lists_that_cannot_be_meant(tmp_path, about, said):
    write(tmp_path, "id\nNDAR_INVA\n", "qc.tsv")
    with pytest.raises(InputError, match=said):
        listed(tmp_path, **about)


def test_the_reason_of_a_list_is_told_before_that_images_were_not_read(tmp_path):
    for name, dropped in (("load", Dropped("A", NOT_LISTED)), ("phenotype", Dropped("A", "excluded: motion"))):
        (tmp_path / name).mkdir()
        write_dropped(tmp_path / name / "dropped.csv", [dropped])
    assert read_dropped([tmp_path / "load", tmp_path / "phenotype"])["reason"].tolist() == ["excluded: motion"]


# --- several files


SCORES = (
    "src_subject_id\teventname\tfluid\tage\nNDAR_INVB\tbase\t3\t10\nNDAR_INVA\tbase\t2\t9.0\nNDAR_INVE\tbase\t5\tn/a\n"
)


def test_files_are_joined_by_identifier_and_event(tmp_path):
    first, second = write(tmp_path, EVENTS), write(tmp_path, SCORES, "s.tsv")
    asked = people(first, second, join=["src_subject_id", "eventname"], where=BASE)
    found = read_rows(asked.files, asked.rules)
    assert found.frame["fluid"].tolist()[:2] == [2, 3]
    assert list(found.frame.index) == ["NDAR_INVA", "NDAR_INVB", "NDAR_INVD", "NDAR_INVE"]
    assert found.frame["fluid"].isna().tolist() == [False, False, True, False]
    assert found.notes == (
        "1 of 7 joined rows are not in p.csv: their values are missing",
        "4 of 7 joined rows are not in s.tsv: their values are missing",
        "where selects 4 of 7 rows; 3 are left out",
    )
    # What one file lacks the other may have.
    gaps = write(tmp_path, SCORES.replace("3\t10", "3\tn/a"), "g.tsv")
    asked = people(gaps, first, join=["src_subject_id", "eventname"], where=BASE)
    assert read_rows(asked.files, asked.rules).frame.loc["NDAR_INVB", "age"] == 10


@pytest.mark.parametrize(
    ("text", "about", "said"),
    [
        (SCORES, {"where": BASE}, r"p\.csv: rows that are alike in \['src_subject_id'\].*'NDAR_INVA'.*`join` names"),
        (
            SCORES.replace("3\t10", "3\t77"),
            {"join": ["src_subject_id", "eventname"], "where": BASE},
            r"s\.tsv and .*p\.csv: column 'age' is in both and differs: of \('NDAR_INVB', 'base'\) it is '77' and '10'",
        ),
        (SCORES, {"join": ["src_subject_id", "visit"]}, r"p\.csv: no such identifier column: got 'visit'"),
    ],
)
def test_files_that_cannot_be_joined(tmp_path, text, about, said):
    asked = people(write(tmp_path, EVENTS), write(tmp_path, text, "s.tsv"), **about)
    with pytest.raises(InputError, match=said):
        read_rows(asked.files, asked.rules)


def test_join_goes_with_several_files_and_holds_the_identifiers():
    with pytest.raises(ValueError, match="goes with several files"):
        Phenotypes(file="p.csv", join=["participant_id"])
    with pytest.raises(ValueError, match=r"must hold the columns of id; \['participant_id'\]"):
        Phenotypes(file=["p.csv", "q.csv"], join=["eventname"])


def test_files_that_share_no_row_are_not_joined(tmp_path):
    one, two = write(tmp_path, "id,age\n1,20\n2,30\n", "p.csv"), write(tmp_path, "id,iq\nsub-1,90\nsub-2,99\n", "q.csv")
    with pytest.raises(
        InputError, match=r"q\.csv: no row is also in .*p\.csv by \['id'\], such as 'sub-1' here and '1'"
    ):
        read_rows([one, two], RowRules(["id"]))


# --- sidecars


PARTICIPANTS = "participant_id\tage\tsex\tsmoker\n01\t20\t1\t0\n02\t30\t2\t9\n03\t777\t2\t1\n04\t25\t1\t1\n"
SIDECAR = {
    "age": {"Units": "years", "Levels": {"777": "n/a"}},
    "sex": {"Levels": {"1": {"Description": "male"}, "2": "female"}},
    "smoker": {"Levels": {"0": "none", "1": "daily", "9": "Missing"}},
}


def bids(tmp_path, sidecar=SIDECAR, text=PARTICIPANTS):
    path = write(tmp_path, text, "participants.tsv")
    write(tmp_path, sidecar if isinstance(sidecar, str) else json.dumps(sidecar), "participants.json")
    return People((path,))


def test_a_sidecar_names_levels_units_and_missing_codes(tmp_path):
    asked = bids(tmp_path)
    specs = {
        "age": {"kind": "regression"},
        "sex": {"kind": "classification"},
        "smoker": {"kind": "classification"},
    }
    values, (age, sex, smoker) = read_target_values(asked, specs)
    assert values.isna().sum().to_dict() == {"age": 1, "sex": 0, "smoker": 1}
    assert (age.units, sex.labels, smoker.labels) == ("years", ("male", "female"), ("none", "daily"))
    found = read_phenotypes(asked, confounds=["sex", "age"])
    assert [drop.reason for drop in found.dropped] == ["missing confound: age"]
    text = PARTICIPANTS.replace("04\t25\t1", "04\t25\t3")
    third = SIDECAR | {"sex": {"Levels": {"1": "male", "2": "female", "3": "other"}}}
    _, (sex,) = read_target_values(bids(tmp_path, third, text), {"sex": {"kind": "classification"}})
    assert (sex.classes, sex.labels) == (("1", "2", "3"), ("male", "female", "other"))


def test_a_value_that_is_no_level_is_an_error_where_it_is_used(tmp_path):
    asked = bids(tmp_path, text=PARTICIPANTS.replace("04\t25\t1", "04\t25\t3"))
    said = r"participants\.tsv: column 'sex', subject '04', data row 4: not among the Levels of .*\.json: got '3'"
    with pytest.raises(InputError, match=said):
        read_target_values(asked, {"x": {"kind": "classification", "column": "sex"}})
    with pytest.raises(InputError, match=said):
        read_phenotypes(asked, confounds=["sex"])
    assert len(read_phenotypes(asked, confounds=["age"]).table) == 3


def test_levels_are_written_as_tables_are_read(tmp_path):
    text = "participant_id\tsex\thand\tok\tcode\na\t1\t01\ttrue\t1\nb\t2\t02\tfalse\t01\nc\t-9\t01\tTRUE\tx\n"
    levels = {
        "sex": {"1.0": "male", "2.0": "female", "-9.0": "missing"},
        "hand": {"01": "left", "02": "right", "X": "n/a"},
        "ok": {"true": "yes", "false": "no"},
        "code": {"1": "one", "01": "other", "x": "third"},
    }
    asked = bids(tmp_path, {name: {"Levels": named} for name, named in levels.items()}, text)
    values, reports = read_target_values(asked, {name: {"kind": "classification"} for name in levels})
    labels = [report.labels for report in reports]
    assert labels == [("other", "one", "third"), ("left", "right"), ("no", "yes"), ("male", "female")]
    assert values["sex"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ("{", r"participants\.json: not valid JSON"),
        ("[]", "a JSON object of columns is needed, found list"),
        ({"sex": {"Levels": ["1", "2"]}}, "column 'sex': Levels must be an object"),
        ({"age": {"Units": 3}}, "column 'age': Units must be text"),
    ],
)
def test_a_sidecar_that_is_none_is_named(tmp_path, sidecar, said):
    with pytest.raises(InputError, match=said):
        read_phenotypes(bids(tmp_path, sidecar))


def test_a_json_file_beside_another_format_is_no_sidecar(tmp_path):
    write(tmp_path, "[1]", "p.json")
    assert read_sidecar(write(tmp_path, EVENTS)) == {}


def test_all_that_says_who_is_studied_is_digested(tmp_path):
    bids(tmp_path)
    write(tmp_path, "01\n", "out.txt")
    about = Phenotypes(file="participants.tsv", exclude="out.txt", include=["02"]).model_dump()
    assert people_files(about, tmp_path) == ["participants.tsv", "participants.json", "out.txt"]
    before = people_digests(about, tmp_path)
    write(tmp_path, json.dumps({}), "participants.json")
    after = people_digests(about, tmp_path)
    assert [name for name in before if before[name] != after[name]] == ["participants.json"]


def test_nothing_is_written_beside_inputs_and_read_only_folders_work(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    asked = bids(data)
    write(data, "01\n", "out.txt")
    before = sorted(os.listdir(data))
    data.chmod(0o555)
    try:
        asked = People(asked.files, exclude=data / "out.txt")
        assert len(read_phenotypes(asked).table) == 3
        assert sorted(os.listdir(data)) == before
    finally:
        data.chmod(0o755)


def test_row_numbers_of_messages_are_those_of_the_file(tmp_path):
    path = write(tmp_path, "participant_id\tsex\tok\n02\t3\t0\n03\tM\t1\n01\tX\t1\n", "p.tsv")
    write(tmp_path, json.dumps({"sex": {"Levels": {"M": "male"}}}), "p.json")
    with pytest.raises(InputError, match="subject '01', data row 3"):
        read_phenotypes(People((path,), RowRules(where="ok == 1")), site="sex")
    assert isinstance(read_rows([path], RowRules()).frame, pd.DataFrame)
