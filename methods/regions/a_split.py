"""Who is studied, and who is trained on and tested on: the same for every parcellation and pipeline."""

import json
from pathlib import Path

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Join the subjects of all sources and split them into outer and inner folds"
depend_extra = manifest(__name__)
options = {
    "n_outer": 5,
    "n_inner": 3,
    "n_repeats": 1,
    "scheme": "",
    "n_bins": 5,
    "seed": 0,
}
jobs = ("phenotype", ["subjects"])


def synthesis(job):
    import pandas as pd

    from cortax.learning.cohort import join_cohort, save_cohort
    from cortax.learning.combat import check_sites
    from cortax.learning.confounds import check_rank
    from cortax.learning.folds import make_folds, save_folds

    outputs.check_all(jobs)
    table = pd.read_parquet(jobs.phenotype.filename("phenotype.parquet"))
    about = json.loads(Path(jobs.phenotype.filename("phenotype.json")).read_text())
    subjects = {_name(source): _subjects(source) for source in jobs.subjects}
    cohort, dropped = join_cohort(table, about["confounds"], subjects, about.get("harmonise"))
    table = table.loc[list(cohort.subjects)]
    folds = make_folds(
        cohort.groups,
        n_outer=options.n_outer,
        n_inner=options.n_inner,
        n_repeats=options.n_repeats,
        scheme=options.scheme,
        strata=table["stratum"].to_numpy() if "stratum" in table else None,
        n_bins=options.n_bins,
        sites=table["site"].to_numpy() if options.scheme == "leave-one-site-out" else None,
        seed=options.seed,
    )
    check_rank(cohort.confounds, folds)
    for note in check_sites(cohort.harmonise, folds) if cohort.harmonise else ():
        print(note)
    saved = save_cohort(job.path, cohort)
    save_folds(job.path, folds)
    dropped.to_csv(job.filename("dropped.csv"), index=False)
    print(f"{len(cohort.subjects)} subjects in {len(set(cohort.groups))} groups, {len(dropped)} left out")
    outputs.record(job.path, [*saved, "folds.npz"], ["dropped.csv"], method=job.method, name=job.params.caption)


def _name(source):
    """What a user calls a source: images, or the table of `[tables.NAME]`."""
    name = source.params.caption.partition("/")[2]  # without the study
    return "images" if name == "load" else name.replace("table/", "tables.")


def _subjects(source):
    name = "maps.json" if source.method == "load" else "regions.json"
    return json.loads(Path(source.filename(name)).read_text())["subjects"]
