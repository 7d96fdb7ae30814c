"""The study that `bench_storm.py` builds: 300 SIMULATED subjects, random parcellations, real pipelines."""

from __future__ import annotations

import json
from pathlib import Path

HEAD = """
name = "storm"
title = "SIMULATED cohort in a storm"
simulated = true
seed = 2021

[images]
root = "input/simulated"
space = "fsaverage5"
max_missing = 0.05
maps = { thickness = "{participant_id}/anat/{participant_id}_hemi-{hemi}_thickness.shape.gii" }

[phenotypes]
file = "input/simulated/participants.tsv"
group = "family_id"
site = "site"
confounds = ["age", "site"]

[targets]
fluid = { kind = "regression" }
reading = { kind = "regression" }
motor = { kind = "regression" }
body_mass = { kind = "regression" }
lottery = { kind = "regression" }
sex = { kind = "classification", positive = "F" }
attention = { kind = "classification", positive = "yes" }
smoker = { kind = "classification", positive = "yes" }
left_handed = { kind = "classification", positive = "yes" }

[splits]
n_outer = 5
n_inner = 3

[pipelines.ridge]
kind = "ridge"
n_configs = 10

[pipelines.elastic]
kind = "elastic"
n_configs = 2
space = { alpha = { low = 1e-2, high = 1e1, log = true }, C = { low = 3e-2, high = 3e0, log = true }, max_iter = 200 }

[pipelines.lgbm]
kind = "lgbm"
n_configs = 2
space = { n_estimators = { low = 5, high = 20, integer = true } }

[evaluate]
metrics = { regression = ["r2"], classification = ["roc_auc"] }
"""
PARCELLATION = '\n[parcellations.random-{n}]\nkind = "random-growth"\nn_regions = {n}\nseed = 1\n'
PIPELINES, CELLS_EACH = 3, 9 * 5


def study(n_parcellations: int) -> tuple[str, int]:
    """Return a study file's text, and how many cells the study has."""
    sizes = [30 + 5 * number for number in range(n_parcellations)]
    text = HEAD + "".join(PARCELLATION.format(n=n) for n in sizes)
    return text, n_parcellations * PIPELINES * CELLS_EACH


def results_of(root: Path) -> tuple[dict[str, str], bytes]:
    """Return the digest of every job's results but the page's, by its name, and the score table as it is on disk."""
    log = json.loads((root / "results/storm/build.json").read_text())
    jobs = root / "workdirs" / "main"
    # The page tells when and by which job each result was made, and how long that took.
    made = {name: job for name, job in log["jobs"].items() if name != "report"}
    digests = {name: json.loads((jobs / job / "outputs.json").read_text())["digest"] for name, job in made.items()}
    return digests, (root / "results/storm/scores.parquet").read_bytes()


def compare(before: tuple[dict[str, str], bytes], after: tuple[dict[str, str], bytes]) -> list[str]:
    """Name every job whose results are other ones than before."""
    names = before[0].keys() | after[0].keys()
    other = sorted(name for name in names if before[0].get(name) != after[0].get(name))
    return other + ["scores.parquet"] * (before[1] != after[1])
