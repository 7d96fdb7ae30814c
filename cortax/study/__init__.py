"""A study: what a user asks for, read from TOML, typed and validated before anything runs."""

from cortax.study.analyses import Comparisons, Ensemble, Importance, Report, Scaling, Statistics
from cortax.study.reading import read_study
from cortax.study.sections import Evaluate, Grid, Images, Phenotypes, Pipeline, Splits, Table, Target
from cortax.study.study import Study

__all__ = [
    "Comparisons",
    "Ensemble",
    "Evaluate",
    "Grid",
    "Images",
    "Importance",
    "Phenotypes",
    "Pipeline",
    "Report",
    "Scaling",
    "Splits",
    "Statistics",
    "Study",
    "Table",
    "Target",
    "read_study",
]
