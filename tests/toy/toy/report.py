"""The page of a toy."""

import pandas as pd

from cortax.report.blocks import PageSection, small_table
from cortax.report.page import work_section


def sections(made):
    """Yield the sections: the totals, and the work."""
    table = pd.read_parquet(made.one("toy_tally").folder / "totals.parquet")
    yield PageSection("totals", "Totals", (small_table(table, "Total of each round"),))
    yield work_section(made)
