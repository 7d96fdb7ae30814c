"""`ax run studies`: the study files named in CORTAX_STUDIES, narrowed by CORTAX_RESTRICT; what `cortax build` runs."""

import os
from pathlib import Path

from accelerator.error import JobError

from cortax.errors import ProjectError
from cortax.workflow.build.build import build_studies
from cortax.workflow.plan.restrict import RESTRICT, parse_restriction

ROOT = Path(__file__).resolve().parents[1]


def main(urd, job):
    files = os.environ.get("CORTAX_STUDIES", "")
    if not files:
        raise ProjectError("CORTAX_STUDIES must name the study files; `cortax build NAME` sets it")
    patterns = parse_restriction(os.environ.get(RESTRICT, ""))
    return build_studies(urd, job, files.split(os.pathsep), ROOT, JobError, patterns)
