"""Columns of every type that pandas can write to Parquet, with gaps where the type has them."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pandas as pd
from hypothesis import strategies as st

CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\t\n\r\x1f\ufeff", exclude_categories=("Cs", "Zl", "Zp", "Cc"))
)


def columns_of_every_type(n):
    """Values of a column in every type that pandas can write to Parquet, with gaps where the type has them."""

    def some(values):
        return st.lists(values, min_size=n, max_size=n)

    numbers = st.integers(-5, 5)
    return st.one_of(
        some(numbers).map(lambda v: pd.array(v, dtype="int16")),
        some(numbers | st.none()).map(lambda v: pd.array(v, dtype="Int64")),
        some(st.floats(allow_infinity=False, width=32)).map(lambda v: pd.array(v, dtype="float32")),
        some(numbers | st.none()).map(lambda v: pd.array(v, dtype="Float64")),
        some(st.booleans()).map(lambda v: pd.array(v, dtype="bool")),
        some(st.booleans() | st.none()).map(lambda v: pd.array(v, dtype="boolean")),
        some(CELLS | st.none()).map(lambda v: pd.array(v, dtype="string")),
        some(CELLS | st.none()).map(lambda v: pd.array(v, dtype=object)),
        some(st.sampled_from("ab") | st.none()).map(lambda v: pd.Categorical(v, ["a", "b"])),
        some(numbers).map(lambda v: pd.Categorical(v)),
        some(st.dates(datetime.date(1950, 1, 1), datetime.date(2050, 1, 1)) | st.none()).map(
            lambda v: pd.to_datetime(pd.Series(v)).array
        ),
        some(st.dates(datetime.date(1950, 1, 1)) | st.none()).map(lambda v: pd.array(v, dtype=object)),
        some(numbers.map(lambda v: Decimal(v) / 4) | st.none()).map(lambda v: pd.array(v, dtype=object)),
        some(st.none()).map(lambda v: pd.array(v, dtype=object)),
    )
