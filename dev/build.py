"""`ax run build`: the two studies of the brain that come with cortax."""

from pathlib import Path

from accelerator.error import JobError

from cortax.workflow.build.build import build_studies

ROOT = Path(__file__).resolve().parents[1]


def main(urd, job):
    return build_studies(urd, job, ["studies/demo.toml", "studies/ds000174.toml"], ROOT, JobError)
