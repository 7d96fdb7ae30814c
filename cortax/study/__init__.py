"""A study: what a user asks for, read from TOML, typed and validated before anything runs."""

from cortax.study.analyses import Ensemble, Importance, Scaling, Statistics
from cortax.study.reading import read_study
from cortax.study.sections import Evaluate, Grid, Images, Phenotypes, Pipeline, Splits, Table, Target
from cortax.study.study import Study

__all__ = [
    "Ensemble",
    "Evaluate",
    "Grid",
    "Images",
    "Importance",
    "Phenotypes",
    "Pipeline",
    "Scaling",
    "Splits",
    "Statistics",
    "Study",
    "Table",
    "Target",
    "read_study",
]
