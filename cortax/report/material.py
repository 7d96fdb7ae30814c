"""What a report rests on: the jobs of one study, read when they are asked for."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.cohort import Cohort, Targets, open_cohort, open_targets
from cortax.folds import Folds, open_folds
from cortax.provenance import outputs
from cortax.scaling.sizes import n_regions
from cortax.scores import get_metric
from cortax.search.store import StoredSearch, open_search
from cortax.search.store_evaluation import StoredEvaluation, open_evaluation

__all__ = ["MadeJob", "Material", "Part"]


@dataclass(frozen=True)
class MadeJob:
    """A finished job: what the build calls it, its id and its folder."""

    name: str
    id: str
    folder: Path

    @functools.cached_property
    def setup(self) -> dict[str, Any]:
        """What Exax noted when it began: method, options, inputs."""
        return dict(json.loads((self.folder / "setup.json").read_text()))

    @functools.cached_property
    def post(self) -> dict[str, Any]:
        """What Exax noted when it ended: times and files."""
        return dict(json.loads((self.folder / "post.json").read_text()))

    @functools.cached_property
    def pool(self) -> dict[str, Any]:
        """What its workers did: seconds, peak memory, attempts; empty of a job without workers."""
        path = self.folder / "pool.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    @property
    def method(self) -> str:
        """The Exax method."""
        return str(self.setup["method"])


@dataclass(frozen=True, eq=False)
class Part:
    """An evaluation and the search that it refits: of one parcellation and pipeline, some targets or one fold."""

    evaluation: StoredEvaluation
    search: StoredSearch


class Material:
    """The jobs of a study, and what they hold.

    Parameters
    ----------
    study, title : str
    simulated : bool
    jobs : sequence of MadeJob
        In the order of the plan.
    """

    def __init__(self, study: str, title: str, simulated: bool, jobs: Sequence[MadeJob]) -> None:
        self.study, self.title, self.simulated = study, title, simulated
        self.jobs = {job.name: job for job in jobs}

    def of(self, method: str) -> list[MadeJob]:
        """Return the jobs of a method, in the order of the plan."""
        return [job for job in self.jobs.values() if job.method == method]

    def check(self) -> None:
        """Check that every job's files are as they were recorded."""
        for job in self.jobs.values():
            outputs.check(job.folder)

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """All scores: one row a parcellation, pipeline, target, fold and metric; see `cortax.intervals`."""
        return pd.read_parquet(self.jobs["scores"].folder / "scores.parquet")

    @functools.cached_property
    def evaluated(self) -> dict[tuple[str, str], MadeJob]:
        """The job that holds the predictions of each parcellation (or ensemble) and pipeline, as `scores` has them."""
        setup = self.jobs["scores"].setup
        folder = self.jobs["scores"].folder.parent
        names = {job.id: job.name for job in self.jobs.values()}
        found = {}
        for called, made in zip(setup["options"]["evaluations"], setup["jobs"]["evaluate"], strict=True):
            parcellation, _, pipeline = called.rpartition("/")
            found[parcellation, pipeline] = MadeJob(names.get(made, called), made, folder / made)
        return found

    @functools.cached_property
    def sizes(self) -> dict[str, float]:
        """Numbers of regions: of ensembles where they were ranked, of single parcellations always."""
        found: dict[str, float] = {}
        for job in self.of("scaling"):
            ranks = pd.read_parquet(job.folder / "ranks.parquet", columns=["parcellation", "size"])
            found |= dict(zip(ranks["parcellation"], ranks["size"], strict=True))
        more = {name: folder for name, folder in self._regions.items() if name not in found}
        return found | {name: float(n_regions(folder)) for name, folder in more.items()}

    @functools.cached_property
    def _regions(self) -> dict[str, Path]:
        """The folder of the regions of each single parcellation that was evaluated."""
        found: dict[str, Path] = {}
        for (parcellation, _), whole in self.evaluated.items():
            if parcellation not in found and (made := self._made_of(whole)):
                found[parcellation] = whole.folder.parent / made[0].setup["jobs"]["regions"]
        return found

    @staticmethod
    def _made_of(whole: MadeJob) -> list[MadeJob]:
        """The `evaluate` jobs behind a whole evaluation; none of an ensemble."""
        if whole.method == "evaluate":
            return [whole]
        parts = whole.setup["jobs"]["evaluate"] if whole.method == "collect" else []
        return [MadeJob(whole.name, part, whole.folder.parent / part) for part in parts]

    def evaluation(self, parcellation: str, pipeline: str) -> StoredEvaluation:
        """Open the predictions and models of a parcellation and pipeline."""
        return open_evaluation(self.evaluated[parcellation, pipeline].folder)

    def parts(self, parcellation: str, pipeline: str) -> list[Part]:
        """Open the searches behind a parcellation and pipeline, with what was refitted of each; none of an ensemble."""
        whole = self.evaluated[parcellation, pipeline]
        jobs = whole.folder.parent
        return [
            Part(open_evaluation(job.folder), open_search(jobs / job.setup["jobs"]["tune"]))
            for job in self._made_of(whole)
        ]

    @functools.cached_property
    def cohort(self) -> Cohort:
        """Who is studied."""
        return open_cohort(self.jobs["split"].folder)

    @functools.cached_property
    def folds(self) -> Folds:
        """Who is trained and tested on."""
        return open_folds(self.jobs["split"].folder)

    @functools.cached_property
    def targets(self) -> Targets:
        """What is predicted."""
        return open_targets([job.folder for job in self.of("target") if job.name.startswith("target/")], self.cohort)

    @functools.cached_property
    def first_metric(self) -> Mapping[str, str]:
        """For each target the metric that the study names first."""
        mean = self.scores[self.scores["fold"] == "mean"]
        return dict(mean.groupby("target", sort=False)["metric"].first())

    @functools.cached_property
    def main_scores(self) -> pd.DataFrame:
        """Means over folds by each target's first metric, with the id of the job that made each (`job`)."""
        mean = self.scores[self.scores["fold"] == "mean"]
        mean = mean[mean["metric"] == mean["target"].map(self.first_metric)].reset_index(drop=True)
        ids = [self.evaluated[key].id for key in zip(mean["parcellation"], mean["pipeline"], strict=True)]
        return mean.assign(job=ids)

    def is_better_high(self, target: str) -> bool:
        """Say whether a high value of a target's first metric is good."""
        tasks = dict(zip(self.targets.names, self.targets.tasks, strict=True))
        return get_metric(self.first_metric[target], tasks[target]).greater_is_better
