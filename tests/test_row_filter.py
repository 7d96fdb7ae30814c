"""Conditions on rows: they mean what pandas' own comparisons do, and nothing else than the grammar gets through."""

from __future__ import annotations

import operator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.data.row_filter import LONGEST, parse_condition
from cortax.errors import CortaxError, InputError, StudyError

ORDERS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS = ["int64", "float64", "int8", "Int64", "Float32", "category"]
TEXTS = [object, "string", "category"]


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "eventname": ["base", "year 1", None, "base"],
            "age": [1.0, 20.0, 30.0, np.nan],
            "age (years)": [1, 2, 3, 4],
            "é": ["a", "b", "a", "b"],
            "passed": [True, False, True, True],
            "again": pd.Series([True, None, False, True], dtype=object),
            "empty": [np.nan] * 4,
        }
    )


@pytest.mark.parametrize(
    ("text", "kept", "n_unknown"),
    [
        ("eventname == 'base'", "1001", 1),
        ('eventname != "base"', "0100", 1),
        ("age >= 18", "0110", 1),
        ("age >= 18 and eventname == 'base'", "0000", 2),
        ("age >= 18 or eventname == 'base'", "1111", 0),
        ("not age >= 18", "1000", 1),
        ("not (age >= 18) and not passed == False", "1000", 1),
        ("1 < `age (years)` <= 3", "0110", 0),
        ("`age (years)` in [1, 4.0]", "1001", 0),
        ("eventname not in ('base', 'other')", "0100", 1),
        ("age is missing", "0001", 0),
        ("age is not missing and eventname is missing", "0010", 0),
        ("age > `age (years)`", "0110", 1),
        ("é == 'a' and age > -1e3", "1010", 0),
        ("again == True", "1001", 1),
        ("empty == 'x' or empty == 3", "0000", 4),
        ("  eventname ==\n 'base' ", "1001", 1),
    ],
)
def test_rows_are_selected(frame, text, kept, n_unknown):
    found = parse_condition(text).select(frame, "p.tsv")
    assert "".join(str(int(one)) for one in found.kept) == kept
    assert found.n_unknown == n_unknown


def test_a_selection_is_counted_in_words(frame):
    told = parse_condition("age >= 18").select(frame, "p.tsv").describe()
    assert told == "where selects 2 of 4 rows; 2 are left out, 1 of them because a value that decides is missing"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the condition is empty"),
        ("age = 3", r"character 5, at '= 3': write `==` to compare"),
        ("age >== 18", r"character 7, at '= 18': not understood"),
        ("age >= 18 and", r"at its end: not understood"),
        ("age AND passed", r"character 5, at 'AND passed': write `and` in small letters"),
        ("age & 3", "write `and` instead of `&`"),
        ("(age > 3) | (age < 1)", "write `or` instead of `|`"),
        ("~(age > 3)", "write `not` instead of `~`"),
        ("age.x > 1", r"at 'age.x > 1': a name with a point goes in backticks"),
        ("age + 1 > 2", "columns are not computed with"),
        ("abs(age) > 2", r"at 'abs\(age\) > 2': functions are not known here"),
        ("age > 2 and age[0] > 1", r"character 13, at 'age\[0\] > 1': brackets behind a name"),
        ("age", "a column alone is no condition"),
        ("3", "a value alone is no condition"),
        ("1 < 2", "no column in this comparison"),
        ("age == None", "write `is missing`"),
        ("age is None", "`is` goes with `missing` only"),
        ("age is 3", "`is` goes with `missing` only"),
        ("eventname in 'base'", r"`in` needs a list of values"),
        ("eventname in []", r"`in` needs a list of values"),
        ("1 < age in [3]", "not part of a chain"),
        ("`age", "a backtick is not closed"),
        ("`` == 1", "the name in backticks is empty"),
        ("class == 1", "a word of Python"),
        ("é > 1 and ö.x == 2", r"character 11, at 'ö.x == 2'"),
        ("age == b'1'", "not allowed|a value alone"),
        ("age > 99999999999999999999", "too large a number"),
        ("age == 1" + " or age == 1" * 400, f"{LONGEST} are allowed"),
        ("(" * 300 + "age", "where ="),
        ("not " * 900 + "age == 1", None),
        ("age > 1\0", "character|cannot be read"),
    ],
)
def test_what_is_no_condition_is_an_error_that_points_at_it(text, said):
    if said is None:
        parse_condition(text)
        return
    with pytest.raises(StudyError, match=said):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agee > 1", r"p.tsv: where = 'agee > 1', character 1, at 'agee > 1': no such column: 'agee'.*mean 'age'"),
        ("age > 1 and x == 1", r"character 13, at 'x == 1': no such column: 'x'; the table has \['again', 'age'"),
        ("age == 'x'", r"number and text are never equal: column 'age' holds number, such as '1.0'"),
        ("eventname == 3", r"column 'eventname' holds text, such as 'base'; text is written in quotation marks"),
        ("passed == 1", "truth value and number are never equal"),
        ("passed < True", "truth values have no order"),
        ("age in [1, 'a']", "number and text are never equal"),
        ("age == eventname", "column 'age' holds number, such as '1.0'; column 'eventname' holds text"),
    ],
)
def test_what_a_table_cannot_answer_is_an_error(frame, text, said):
    with pytest.raises(InputError, match=said):
        parse_condition(text).select(frame, "p.tsv")


def test_of_a_wide_table_only_the_nearest_column_is_named():
    frame = pd.DataFrame([[1] * 500], columns=[f"smri_thick_{i}" for i in range(500)])
    with pytest.raises(InputError, match=r"'smri_thik_7'; the table has 500 others; did you mean 'smri_thick_7'\?"):
        parse_condition("smri_thik_7 > 1").select(frame, "p.tsv")


@st.composite
def tables(draw):
    """A column of any type, and a value of it."""
    is_text = draw(st.booleans())
    values = st.sampled_from(["", "a", "b", "B", "10"]) if is_text else st.integers(-3, 3)
    dtype = draw(st.sampled_from(TEXTS if is_text else NUMBERS))
    gaps = st.nothing() if dtype in ("int64", "int8") else st.none()
    column = pd.Series(draw(st.lists(values | gaps, min_size=1, max_size=8)), dtype=object)
    if dtype == "category" and not is_text:
        dtype = "float64"
    return column.astype(dtype), draw(values)


@settings(max_examples=300, deadline=None)
@given(drawn=tables(), other=tables(), order=st.sampled_from(sorted(ORDERS)), joined=st.sampled_from(["and", "or"]))
def test_conditions_are_pandas_own_comparisons(drawn, other, order, joined):
    """By pandas' nullable types, whose logic with NA is that of SQL; and by plain ones where nothing is missing."""
    (column, value), (second, bound) = drawn, other
    n = min(len(column), len(second))
    frame = pd.DataFrame({"a": column[:n].to_numpy(), "b b": second[:n].to_numpy()})
    frame = frame.astype({"a": column.dtype, "b b": second.dtype})
    text = f"a {order} {value!r} {joined} not `b b` == {bound!r}"
    found = parse_condition(text).select(frame, "t")
    nullable = [
        frame[name].astype(object).where(frame[name].notna(), None).astype("string" if isinstance(v, str) else "Int64")
        for name, v in (("a", value), ("b b", bound))
    ]
    first = ORDERS[order](nullable[0], value).astype("boolean")
    then = ~(nullable[1] == bound).astype("boolean")
    expected = (first & then if joined == "and" else first | then).astype("boolean")
    np.testing.assert_array_equal(found.kept, expected.fillna(False).to_numpy(dtype=bool))
    assert found.n_unknown == expected.isna().sum()
    if not frame.isna().any(axis=None) and column.dtype != "category":
        plain = ORDERS[order](frame["a"], value).astype(bool)
        assert parse_condition(f"a {order} {value!r}").select(frame, "t").kept.tolist() == plain.tolist()


PIECES = [
    *("a", "b", "`c d`", "1", "-2.5", "'x'", '"y"', "==", "!=", "<", ">=", "in", "not", "and", "or", "is", "missing"),
    *(
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "()",
        "a.b",
        "a[0]",
        "f(a)",
        "lambda",
        ":",
        "=",
        ":=",
        "{",
        "}",
        "`",
        "'",
        "\\",
        "\0",
    ),
    *("await", "yield", "*", "**", "if", "else", "for", "f'{a}'", "None", "__import__('os')", "é", "\n", "#", ";", "@"),
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join) | st.text(max_size=40))
def test_no_text_is_a_traceback_or_anything_but_a_comparison(text):
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", "y"], "c d": [True, False]})
    try:
        condition = parse_condition(text)
        found = condition.select(frame, "t")
    except CortaxError:
        return
    assert set(condition.columns) <= set(frame)
    assert found.kept.shape == (2,)


@pytest.mark.parametrize("harm", ["a.b", "a[0]", "a['b']", "f()", "a.b()", "`x`()", "`x`.y", "(a).b", "'x'.upper()"])
@pytest.mark.parametrize("place", ["{} == 1", "a == {}", "not {} > 2", "a in [{}]", "a == 1 or {}", "{} is missing"])
def test_no_attribute_call_or_subscript_gets_through(harm, place):
    with pytest.raises(StudyError):
        parse_condition(place.format(harm))
