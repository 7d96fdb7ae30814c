"""`ax run grn`: the gene regulatory network that comes with cortax."""

from pathlib import Path

from accelerator.error import JobError

from cortax.workflow.build.build import build_studies

ROOT = Path(__file__).resolve().parents[1]


def main(urd, job):
    return build_studies(urd, job, ["studies/grn.toml"], ROOT, JobError)
