"""Scaling: how the mean rank of parcellations follows the number of their regions."""

from cortax.learning.scaling.analysis import analyse
from cortax.learning.scaling.powerlaw import PowerLaw, fit_power_law, read_rank_table, select_region

__all__ = ["PowerLaw", "analyse", "fit_power_law", "read_rank_table", "select_region"]
