"""Patterns of names: what they match, what is said where they match nothing, and that a study dumps them as lists."""

import fnmatch

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cortax.errors import StudyError
from cortax.study.patterns import ALL, Patterns
from cortax.workflow.lookup.results import filtered

NAMES = st.lists(st.text("ab-1", max_size=4), unique=True)
TEXTS = st.lists(st.text("ab-1*?[]!", max_size=4))


class Asked(BaseModel):
    names: Patterns = ALL


@given(NAMES, TEXTS)
def test_names_are_those_that_the_standard_library_finds_for_any_pattern(names, texts):
    patterns = Patterns(tuple(texts))
    found = {name for text in texts for name in fnmatch.filter(names, text)}
    assert patterns.select(names) == [name for name in names if name in found]
    assert [name for name in names if patterns.matches(name)] == patterns.select(names)
    assert patterns.unmatched(names) == [text for text in texts if not fnmatch.filter(names, text)]


@pytest.mark.parametrize("error", [ValueError, StudyError])
def test_the_first_pattern_without_a_name_is_said_with_the_nearest(error):
    patterns = Patterns(("ri*", "elsatic", "x"))
    message = (
        r"pipelines: nothing matches: got 'elsatic', must be one of \['elastic', 'ridge'\]; did you mean 'elastic'"
    )
    with pytest.raises(error, match=message):
        patterns.check("pipelines", ["ridge", "elastic"], error)
    patterns.check("pipelines", ["ridge", "elsatic", "x"], error)


@given(TEXTS)
def test_a_model_reads_and_dumps_a_list(texts):
    asked = Asked.model_validate({"names": texts})
    assert asked.names == Patterns(tuple(texts))
    assert asked.model_dump() == asked.model_dump(mode="json") == {"names": texts}
    assert Asked.model_validate_json(asked.model_dump_json()) == asked
    assert Asked().model_dump() == {"names": ["*"]}


@pytest.mark.parametrize("wrong", ["ridge", [1], None, {"a": 1}])
def test_what_is_no_list_of_texts_is_refused(wrong):
    with pytest.raises(ValidationError, match=r"Input should be a valid (list|string)"):
        Asked(names=wrong)


def test_a_table_of_which_nothing_is_left_keeps_its_columns():
    table = pd.DataFrame({"target": ["sex", "age"], "pipeline": ["ridge", "svm"]})
    assert filtered(table, ["target=a*,x"])["pipeline"].tolist() == ["svm"]
    left = filtered(table, ["target=none", "pipeline=ridge"])
    assert left.empty
    assert list(left.columns) == list(table.columns)
