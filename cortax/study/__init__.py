"""A study: what a user asks for, read from TOML, typed and validated before anything runs."""

from cortax.study.analyses import Comparisons, Ensemble, Importance, Report, Scaling, Statistics
from cortax.study.network import NetworkStudy
from cortax.study.network_scaling import NetworkScaling
from cortax.study.reading import AnyStudy, read_any_study, read_study
from cortax.study.sections import Evaluate, Grid, Images, Phenotypes, Pipeline, Splits, Table, Target
from cortax.study.study import Study

__all__ = [
    "AnyStudy",
    "Comparisons",
    "Ensemble",
    "Evaluate",
    "Grid",
    "Images",
    "Importance",
    "NetworkScaling",
    "NetworkStudy",
    "Phenotypes",
    "Pipeline",
    "Report",
    "Scaling",
    "Splits",
    "Statistics",
    "Study",
    "Table",
    "Target",
    "read_any_study",
    "read_study",
]
