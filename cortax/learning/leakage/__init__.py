"""Whether anything that is held out can reach a model: guards for any scikit-learn pipeline and table of regions."""

from cortax.learning.leakage.checks import check_pipeline
from cortax.learning.leakage.duplicates import LeakFinding, find_copies, find_duplicates
from cortax.learning.leakage.fitting import check_fit

__all__ = ["LeakFinding", "check_fit", "check_pipeline", "find_copies", "find_duplicates"]
