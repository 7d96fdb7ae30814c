"""A whole study, and what must agree between its sections."""

from __future__ import annotations

import fnmatch
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from cortax.errors import choices
from cortax.study.analyses import Comparisons, Ensemble, Importance, Report, Scaling, Statistics
from cortax.study.pools import check_pools, find_pools
from cortax.study.sections import (
    Evaluate,
    Grid,
    Images,
    Name,
    Phenotypes,
    Pipeline,
    Search,
    Section,
    Splits,
    Table,
    Target,
)

__all__ = ["Study"]


class Study(Section):
    """A whole study. Every key is described in the README."""

    # The jobs without which a build found nothing, and what they have.
    main_jobs: ClassVar[tuple[str, str]] = ("scores", "scores")

    name: Name
    title: str
    simulated: bool = False
    seed: int = Field(default=0, ge=0)
    images: Images | None = None
    tables: dict[Name, Table] = {}
    phenotypes: Phenotypes
    targets: dict[Name, Target] = Field(min_length=1)
    splits: Splits = Splits()
    parcellations: dict[Name, dict[str, Any]] = {}
    pipelines: dict[Name, Pipeline] = Field(min_length=1)
    search: Search = Search()
    evaluate: Evaluate = Evaluate()
    grid: Grid = Grid()
    ensembles: dict[Name, Ensemble] = {}
    statistics: Statistics | None = None
    comparisons: Comparisons | None = None
    importance: Importance | None = None
    scaling: Scaling | None = None
    report: Report = Report()

    @field_validator("parcellations")
    @classmethod
    def _kinds(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, spec in value.items():
            if not isinstance(spec.get("kind"), str):
                raise ValueError(f"parcellation {name!r} needs kind = '...'")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Study:
        if self.images is None and not self.tables:
            raise ValueError("the study is empty: it needs [images] with [parcellations.*], or [tables.*]")
        if self.images is not None and not self.parcellations and not self.tables:
            raise ValueError("[images] without any [parcellations.<name>]")
        if self.images is None and self.parcellations:
            raise ValueError("[parcellations.*] need [images] to be applied to")
        if both := sorted(set(self.tables) & set(self.parcellations)):
            raise ValueError(f"{both} named in [tables] and in [parcellations]")
        if self.splits.scheme == "leave-one-site-out" and self.phenotypes.site is None:
            raise ValueError("splits.scheme = 'leave-one-site-out' needs phenotypes.site = '<column>'")
        if self.splits.scheme == "leave-one-site-out" and self.grid.by_fold:
            raise ValueError("grid.by_fold goes with splits.scheme = 'group-kfold': sites are counted in the build")
        places = {f"pipelines.{name}.parcellations": one.parcellations for name, one in self.pipelines.items()}
        places |= {f"ensembles.{name}.parcellations": one.parcellations for name, one in self.ensembles.items()}
        if self.importance is not None:
            places["importance.parcellations"] = self.importance.parcellations
            for pattern in self.importance.pipelines:
                if not fnmatch.filter(self.pipelines, pattern):
                    raise ValueError(f"importance.pipelines: nothing matches: {choices(pattern, self.pipelines)}")
        for place, patterns in (places | {"grid.by_fold": self.grid.by_fold}).items():
            for pattern in patterns:
                if not fnmatch.filter(self.region_sets, pattern):
                    raise ValueError(f"{place}: nothing matches: {choices(pattern, self.region_sets)}")
        return self

    @model_validator(mode="after")
    def _scaling_agrees(self) -> Study:
        if self.scaling is None:
            return self
        if len(self.region_sets) < 4:
            raise ValueError(f"scaling: a power law needs at least 4 parcellations, the study has {self.region_sets}")
        places = {f"scaling.types.{name}": patterns for name, patterns in self.scaling.types.items()}
        for place, patterns in (places | {"scaling.sizes": list(self.scaling.sizes)}).items():
            for pattern in patterns:
                if not fnmatch.filter(self.region_sets, pattern):
                    raise ValueError(f"{place}: nothing matches: {choices(pattern, self.region_sets)}")
        for task in sorted({target.kind for target in self.targets.values()}):
            reported = getattr(self.evaluate.metrics, task)
            if not reported:
                raise ValueError(f"scaling: evaluate.metrics.{task} is empty: nothing to rank by")
            if (metric := self.scaling.metrics.get(task, reported[0])) not in reported:
                raise ValueError(f"scaling.metrics.{task}: is not reported: {choices(metric, reported)}")
        return self

    @model_validator(mode="after")
    def _statistics_agree(self) -> Study:
        # What is not written in the study is a default, and need not match anything.
        for key in self.statistics.model_fields_set & {"parcellations", "pipelines"} if self.statistics else ():
            known = self.region_sets if key == "parcellations" else list(self.pipelines)
            for pattern in getattr(self.statistics, key):
                if not fnmatch.filter(known, pattern):
                    raise ValueError(f"statistics.{key}: nothing matches: {choices(pattern, known)}")
        return self

    @model_validator(mode="after")
    def _comparisons_agree(self) -> Study:
        if self.comparisons is None:
            return self
        tasks: set[Literal["regression", "classification"]] = {target.kind for target in self.targets.values()}
        known = {metric for task in tasks for metric in getattr(self.evaluate.metrics, task)}
        for key in ("metrics", "rope"):
            for name in getattr(self.comparisons, key):
                if name not in known:
                    raise ValueError(f"comparisons.{key}: is not reported: {choices(name, known)}")
        return self

    @model_validator(mode="after")
    def _ensembles_agree(self) -> Study:
        for name, ensemble in self.ensembles.items():
            check_pools(f"ensembles.{name}", ensemble, self._parcellations())
        return self

    @property
    def region_sets(self) -> list[str]:
        """Names of all sets of regions: the parcellations and the tables."""
        return [*self.parcellations, *self.tables]

    def parcellations_of(self, pipeline: str) -> list[str]:
        """Return the names of the parcellations (and tables) that a pipeline is run on, in study order."""
        patterns = self.pipelines[pipeline].parcellations
        return [name for name in self.region_sets if any(fnmatch.fnmatchcase(name, p) for p in patterns)]

    def pools_of(self, ensemble: str) -> dict[str, list[str]]:
        """Return for each pipeline of an ensemble the parcellations that its members are of, in study order."""
        return find_pools(self.ensembles[ensemble], self._parcellations())

    def _parcellations(self) -> dict[str, list[str]]:
        return {pipeline: self.parcellations_of(pipeline) for pipeline in self.pipelines}

    def is_by_fold(self, regions: str, n_regions: int) -> bool | None:
        """Say whether a parcellation (or table) of so many columns gets a job for every outer fold.

        None where the study does not say. Never where sites are left out: how many there are is not known before the
        build.
        """
        if self.splits.scheme == "leave-one-site-out":
            return False
        if any(fnmatch.fnmatchcase(regions, pattern) for pattern in self.grid.by_fold):
            return True
        return None if self.grid.by_fold_above is None else n_regions > self.grid.by_fold_above
