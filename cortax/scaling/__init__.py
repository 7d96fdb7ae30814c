"""Scaling: how the mean rank of parcellations follows the number of their regions."""

from cortax.scaling.analysis import analyse
from cortax.scaling.powerlaw import PowerLaw, fit_power_law, select_region
from cortax.scaling.tables import read_rank_table

__all__ = ["PowerLaw", "analyse", "fit_power_law", "read_rank_table", "select_region"]
