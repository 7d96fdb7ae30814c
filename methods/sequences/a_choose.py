"""Choose a factor of the secondary losses for every site, by validation."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Choose a factor of the secondary losses for every site, by validation"
depend_extra = manifest(__name__)
options = {
    "sites": [],  # of each `skill` job
    "target": "",
    "metric": "",
}
jobs = (["skill"],)


def synthesis(job):
    from cortax.store import save
    from cortax.workloads.sequences.comparing import choices_table, open_skills

    outputs.check_all(jobs)
    table = choices_table(open_skills(jobs.skill, options.sites), target=options.target, metric=options.metric)
    outputs.record(job.path, save(job.path, {"choices.parquet": table}), method=job.method, name=job.params.caption)
