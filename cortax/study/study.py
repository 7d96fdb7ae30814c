"""A whole study, and what must agree between its sections."""

from __future__ import annotations

import fnmatch
from typing import Any

from pydantic import Field, field_validator, model_validator

from cortax.errors import choices
from cortax.study.analyses import Ensemble, Importance, Scaling, Statistics
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
    importance: Importance | None = None
    scaling: Scaling | None = None

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
        for place, patterns in (places | {"grid.by_fold": self.grid.by_fold}).items():
            for pattern in patterns:
                if not fnmatch.filter(self.region_sets, pattern):
                    raise ValueError(f"{place}: nothing matches: {choices(pattern, self.region_sets)}")
        return self

    @property
    def region_sets(self) -> list[str]:
        """Names of all sets of regions: the parcellations and the tables."""
        return [*self.parcellations, *self.tables]

    def parcellations_of(self, pipeline: str) -> list[str]:
        """Return the names of the parcellations (and tables) that a pipeline is run on, in study order."""
        patterns = self.pipelines[pipeline].parcellations
        return [name for name in self.region_sets if any(fnmatch.fnmatchcase(name, p) for p in patterns)]

    def is_by_fold(self, regions: str, n_regions: int) -> bool:
        """Say whether a parcellation (or table) of so many columns gets a job for every outer fold.

        Never where sites are left out: how many there are is not known before the build.
        """
        if self.splits.scheme == "leave-one-site-out":
            return False
        named = any(fnmatch.fnmatchcase(regions, pattern) for pattern in self.grid.by_fold)
        return named or n_regions > self.grid.by_fold_above
