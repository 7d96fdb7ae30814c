"""Score every forest's network against links that are known."""

from pathlib import Path

from cortax.errors import InputError
from cortax.grid.dataset import save_dataset
from cortax.networks.agreement import score_forests
from cortax.networks.store import open_genes, open_importances
from cortax.networks.truth import read_gold_standard
from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.provenance.files import file_digest

description = "Score every forest's network against links that are known"
depend_extra = manifest(__name__)
options = {
    "study": "",
    "file": "",
    "digest": "",
    "blocks": [],  # see `rank`
    "leave": {},
    "n_blocks": {},  # by forest; one that lacks some, as a regression failed, is not scored
}
jobs = ("regulators", ["regress"])

ROOT = Path(__file__).resolve().parents[1]


def synthesis(job):
    for source in (jobs.regulators, *jobs.regress):
        outputs.check(source.path)
    gold = read_gold_standard(ROOT / options.file)
    if file_digest(ROOT / options.file) != options.digest:
        raise InputError(f"{options.file}: changed since the build began; start it again")
    regulators = open_genes(jobs.regulators.path).names
    found = {
        block: open_importances(source.path, regulators)
        for block, source in zip(options.blocks, jobs.regress, strict=True)
    }
    scores = score_forests(found, options.leave, regulators, gold, n_blocks=options.n_blocks)
    scores.insert(0, "study", options.study)
    save_dataset(job, scores, "scores.parquet")
    outputs.record(job.path, ["scores.parquet"], method=job.method, name=job.params.caption)
