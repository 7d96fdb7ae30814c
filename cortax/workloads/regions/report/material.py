"""What a report rests on: the jobs of one study, read when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cortax.brain.data.sidecar import named_level
from cortax.learning.classes import count_classes
from cortax.learning.cohort import Cohort, Targets, open_cohort, open_targets
from cortax.learning.folds import Folds, open_folds
from cortax.learning.scores import get_metric
from cortax.learning.search.store import StoredSearch, open_search
from cortax.learning.search.store_evaluation import StoredEvaluation, open_evaluation
from cortax.report.page import MadeJob, StudyJobs
from cortax.workloads.regions.class_names import class_names, read_json
from cortax.workloads.regions.plan.names import job_name
from cortax.workloads.regions.sizes import n_regions

__all__ = ["Material", "Meaning", "SearchedPart"]


@dataclass(frozen=True, eq=False)
class SearchedPart:
    """An evaluation and the search that it refits: of one parcellation and pipeline, some targets or one fold."""

    evaluation: StoredEvaluation
    search: StoredSearch


@dataclass(frozen=True)
class Meaning:
    """What the sidecar of a table says of a target: its units, and what class 1 is called."""

    units: str = ""
    positive: str = "class 1"


class Material:
    """What the jobs of a study of brain regions hold."""

    def __init__(self, made: StudyJobs) -> None:
        self.made, self.of = made, made.of

    def meaning(self, target: str) -> Meaning:
        """Return what is known of a target beside its values."""
        for job in self.of("target"):
            if job.key.get("target") == target:
                about = read_json(job.folder / "report.json")
                named = dict(zip(about.get("classes", ()), about.get("labels", ()), strict=False))
                positive = named_level(about["classes"][1], named) if named else "class 1"
                return Meaning(about.get("units", ""), positive)
        return Meaning()

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """All scores: one row a parcellation, pipeline, target, fold and metric; see `cortax.learning.predictions`."""
        return pd.read_parquet(self.made.one("scores").folder / "scores.parquet")

    @functools.cached_property
    def evaluated(self) -> dict[tuple[str, str], MadeJob]:
        """The job that holds the predictions of each parcellation (or ensemble) and pipeline, as `scores` has them."""
        scored = set(zip(self.scores["parcellation"], self.scores["pipeline"], strict=True))
        found = {}
        # In the order of the plan: what was put together takes the place of its first part.
        for method in ("evaluate", "collect", "ensemble"):
            for job in self.of(method):
                model = (job.key["parcellation"], job.key["pipeline"])
                if len(job.key) == len(model) and model in scored:
                    found[model] = job
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
                found[parcellation] = made[0].beside(made[0].setup["jobs"]["regions"]).folder
        return found

    @staticmethod
    def _made_of(whole: MadeJob) -> list[MadeJob]:
        """The `evaluate` jobs behind a whole evaluation; none of an ensemble."""
        if whole.method == "evaluate":
            return [whole]
        parts = whole.setup["jobs"]["evaluate"] if whole.method == "collect" else []
        return [whole.beside(part) for part in parts]

    def evaluation(self, parcellation: str, pipeline: str) -> StoredEvaluation:
        """Open the predictions and models of a parcellation and pipeline."""
        return open_evaluation(self.evaluated[parcellation, pipeline].folder)

    def parts(self, parcellation: str, pipeline: str) -> list[SearchedPart]:
        """Open the searches behind a parcellation and pipeline, with what was refitted of each; none of an ensemble."""
        return [
            SearchedPart(open_evaluation(job.folder), open_search(job.beside(job.setup["jobs"]["tune"]).folder))
            for job in self._made_of(self.evaluated[parcellation, pipeline])
        ]

    @functools.cached_property
    def cohort(self) -> Cohort:
        """Who is studied."""
        return open_cohort(self.made.one("split").folder)

    @functools.cached_property
    def folds(self) -> Folds:
        """Who is trained and tested on."""
        return open_folds(self.made.one("split").folder)

    @functools.cached_property
    def targets(self) -> Targets:
        """What is predicted."""
        return open_targets(
            [job.folder for job in self.of("target") if job.name == job_name("target", job.key)], self.cohort
        )

    @functools.cached_property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Names of the classes of each target, in the order of their numbers; empty of a regression."""
        found = {}
        for job in self.of("target"):
            found[job.key["target"]] = class_names(job.folder)
        names = self.targets.names
        for name, task, values in zip(names, self.targets.tasks, self.targets.values.T, strict=True):
            if not found.get(name):
                found[name] = tuple(map(str, range(count_classes(task, values))))
        return found

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
