"""Compare the chosen factor of every site with single-task networks in the test period."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Compare the chosen factor of every site with single-task networks"
depend_extra = manifest(__name__)
options = {
    "sites": [],  # of each `skill` job
    "target": "",
    "metric": "",
    "correction": "",
    "confidence": 0.95,
    "alpha": 0.05,
}
jobs = (["skill"], "choose")


def synthesis(job):
    import pandas as pd

    from cortax.store import save, save_dataset
    from cortax.workloads.sequences.comparing import counts_table, gains_table, open_skills

    outputs.check_all(jobs)
    chosen = pd.read_parquet(f"{jobs.choose.path}/choices.parquet")
    skills = open_skills(jobs.skill, options.sites)
    gains = gains_table(skills, chosen, target=options.target, options=options)
    save_dataset(job, gains, "gains.parquet")
    results = ["gains.parquet", *save(job.path, {"counts.parquet": counts_table(gains, options.confidence)})]
    outputs.record(job.path, results, method=job.method, name=job.params.caption)
