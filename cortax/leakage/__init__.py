"""Whether anything that is held out can reach a model: guards for any scikit-learn pipeline and table of regions."""

from cortax.leakage.checks import check_pipeline
from cortax.leakage.copies import find_copies
from cortax.leakage.duplicates import find_duplicates
from cortax.leakage.finding import Finding
from cortax.leakage.fitting import check_fit

__all__ = ["Finding", "check_fit", "check_pipeline", "find_copies", "find_duplicates"]
