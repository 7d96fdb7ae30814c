"""A table as the results of a job: a file for pandas, and a dataset for `ax ds` and `ax grep`."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["save_dataset"]

_KINDS = {"float64": "float64", "int64": "int64"}


def save_dataset(job: Any, table: pd.DataFrame, file: str) -> None:
    """Write a table to a Parquet file of a job, and as the job's dataset.

    Parameters
    ----------
    job
        What Exax hands to a method's `synthesis`.
    table : DataFrame
        Columns of float64, int64 and text.
    file : str
        Its name.
    """
    table.to_parquet(job.filename(file), index=False)
    columns = {name: _KINDS.get(str(kind), "unicode") for name, kind in table.dtypes.items()}
    # One slice holds it all: such tables are small, and do not depend on the number of slices.
    writer = job.datasetwriter(columns=columns, allow_missing_slices=True)
    writer.set_slice(0)
    for row in table.to_dict("records"):
        writer.write_dict(row)
    writer.finish()
