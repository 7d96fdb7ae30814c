"""`ax run studies`: the study files named in CORTAX_STUDIES; what `cortax build` runs."""

import os
from pathlib import Path

from cortax.grid.build import build_study

ROOT = Path(__file__).resolve().parents[1]


def main(urd, job):
    for study in os.environ["CORTAX_STUDIES"].split(os.pathsep):
        build_study(urd, job, study, ROOT)
