"""`ax run studies`: the study files named in CORTAX_STUDIES; what `cortax build` runs."""

import os
from pathlib import Path

from cortax.grid.build import build_studies

ROOT = Path(__file__).resolve().parents[1]


def main(urd, job):
    return build_studies(urd, job, os.environ["CORTAX_STUDIES"].split(os.pathsep), ROOT)
