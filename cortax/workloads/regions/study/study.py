"""A whole study, and what must agree between its sections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from cortax.errors import choices
from cortax.study.patterns import Patterns
from cortax.study.section import Name, Study, expand_paths, relative_paths
from cortax.workloads.regions.study.analyses import Comparisons, Ensemble, Importance, RegionsPage, Scaling, Statistics
from cortax.workloads.regions.study.pools import check_pools, find_pools
from cortax.workloads.regions.study.sections import (
    Connectivity,
    Evaluate,
    Grid,
    Harmonise,
    Images,
    Phenotypes,
    Pipeline,
    Search,
    Splits,
    Table,
    Target,
)

__all__ = ["RegionsStudy"]

# Keys that are paths
_IMAGE_PATHS, _TABLE_PATHS, _MATRIX_PATHS = ("root", "subjects"), ("files", "subjects"), ("root", "subjects", "labels")


class RegionsStudy(Study):
    """A study of brain regions. Every key is described in the README."""

    kind: Literal["regions"] = "regions"
    images: Images | None = None
    tables: dict[Name, Table] = {}
    connectivity: dict[Name, Connectivity] = {}
    phenotypes: Phenotypes
    harmonise: Harmonise | None = None
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
    report: RegionsPage = RegionsPage()

    @field_validator("parcellations")
    @classmethod
    def _kinds(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, spec in value.items():
            if not isinstance(spec.get("kind"), str):
                raise ValueError(f"parcellation {name!r} needs kind = '...'")
        return expand_paths(value)

    @model_validator(mode="after")
    def _agree(self) -> RegionsStudy:
        others = [*self.tables, *self.connectivity]
        if self.images is None and not others:
            needed = "[images] with [parcellations.*], [tables.*] or [connectivity.*]"
            raise ValueError(f"the study is empty: it needs {needed}")
        if self.images is not None and not self.parcellations and not others:
            raise ValueError("[images] without any [parcellations.<name>]")
        if self.images is None and self.parcellations:
            raise ValueError("[parcellations.*] need [images] to be applied to")
        if both := sorted(name for name, n in Counter(self.region_sets).items() if n > 1):
            raise ValueError(f"{both}: one name in two of [tables], [parcellations] and [connectivity]")
        if self.splits.scheme == "leave-one-site-out" and self.phenotypes.site is None:
            raise ValueError("splits.scheme = 'leave-one-site-out' needs phenotypes.site = '<column>'")
        if self.splits.scheme == "leave-one-site-out" and self.grid.by_fold:
            raise ValueError("grid.by_fold goes with splits.scheme = 'group-kfold': sites are counted in the build")
        places = {f"pipelines.{name}.parcellations": one.parcellations for name, one in self.pipelines.items()}
        places |= {f"ensembles.{name}.parcellations": one.parcellations for name, one in self.ensembles.items()}
        if self.importance is not None:
            places["importance.parcellations"] = self.importance.parcellations
            self.importance.pipelines.check("importance.pipelines", self.pipelines)
        for place, patterns in (places | {"grid.by_fold": self.grid.by_fold}).items():
            patterns.check(place, self.region_sets)
        return self

    @model_validator(mode="after")
    def _harmonise_agrees(self) -> RegionsStudy:
        if self.harmonise is None:
            return self
        site = self.harmonise.site or self.phenotypes.site
        if site is None:
            raise ValueError("harmonise.site = '<column>' is missing, and phenotypes.site does not say it either")
        if site in self.harmonise.preserve:
            raise ValueError(f"harmonise.preserve: {site!r} is the site itself, whose effect is removed")
        columns = {target.column or name: name for name, target in self.targets.items()}
        if leaking := sorted(set(columns) & set(self.harmonise.preserve)):
            raise ValueError(
                f"harmonise.preserve: {leaking} are columns of targets, {[columns[name] for name in leaking]}: what is "
                "preserved is known of test subjects too, so that a model would be told what it is to predict"
            )
        tests_unseen = self.splits.scheme == "leave-one-site-out" and site == self.phenotypes.site
        if tests_unseen and self.harmonise.unseen == "error":
            raise ValueError(
                "harmonise.unseen = 'error' does not go with splits.scheme = 'leave-one-site-out': training parts lack "
                "the test site. 'pooled' leaves its regions as measured"
            )
        return self

    @model_validator(mode="after")
    def _scaling_agrees(self) -> RegionsStudy:
        if self.scaling is None:
            return self
        if len(self.region_sets) < 4:
            raise ValueError(f"scaling: a power law needs at least 4 parcellations, the study has {self.region_sets}")
        places = {f"scaling.types.{name}": patterns for name, patterns in self.scaling.types.items()}
        for place, patterns in (places | {"scaling.sizes": Patterns(tuple(self.scaling.sizes))}).items():
            patterns.check(place, self.region_sets)
        for task in sorted({target.kind for target in self.targets.values()}):
            reported = getattr(self.evaluate.metrics, task)
            if not reported:
                raise ValueError(f"scaling: evaluate.metrics.{task} is empty: nothing to rank by")
            if (metric := self.scaling.metrics.get(task, reported[0])) not in reported:
                raise ValueError(f"scaling.metrics.{task}: is not reported: {choices(metric, reported)}")
        return self

    @model_validator(mode="after")
    def _statistics_agree(self) -> RegionsStudy:
        # What is not written in the study is a default, and need not match anything.
        for key in self.statistics.model_fields_set & {"parcellations", "pipelines"} if self.statistics else ():
            known = self.region_sets if key == "parcellations" else list(self.pipelines)
            getattr(self.statistics, key).check(f"statistics.{key}", known)
        return self

    @model_validator(mode="after")
    def _comparisons_agree(self) -> RegionsStudy:
        if self.comparisons is None:
            return self
        tasks = {target.kind for target in self.targets.values()}
        known = {metric for task in tasks for metric in getattr(self.evaluate.metrics, task)}
        for key in ("metrics", "rope"):
            for name in getattr(self.comparisons, key):
                if name not in known:
                    raise ValueError(f"comparisons.{key}: is not reported: {choices(name, known)}")
        return self

    @model_validator(mode="after")
    def _ensembles_agree(self) -> RegionsStudy:
        for name, ensemble in self.ensembles.items():
            check_pools(f"ensembles.{name}", ensemble, self._parcellations())
        return self

    @property
    def region_sets(self) -> list[str]:
        """Names of all sets of regions: the parcellations, the tables and the matrices of connectivity."""
        return [*self.parcellations, *self.tables, *self.connectivity]

    @property
    def harmonising(self) -> dict[str, Any] | None:
        """Which columns the sites and what to preserve are read from, and what is done with unseen sites."""
        if self.harmonise is None:
            return None
        return {**self.harmonise.model_dump(), "site": self.harmonise.site or self.phenotypes.site}

    def endings(self, images: Sequence[str]) -> list[str]:
        """Return sessions that identifiers end with in the phenotype table, if it has a row for each itself.

        `images`: what the identifiers of rows of images end with, see `MapFiles.endings`.
        """
        sessions = {session for table in self.tables.values() for session in table.sessions or ()}
        return [] if self.phenotypes.sessions else sorted(sessions.union(images))

    def in_project(self, root: Path) -> RegionsStudy:
        """Return the same study, with paths that lie in the project relative to it: jobs of a moved one are its own."""
        people, images = self.phenotypes, self.images
        places = {"file": relative_paths(people.file, root)}
        for key in ("include", "exclude"):
            given = getattr(people, key)
            places[key] = relative_paths(given, root) if isinstance(given, str) else given
        tables = {
            name: table.model_copy(update={key: relative_paths(getattr(table, key), root) for key in _TABLE_PATHS})
            for name, table in self.tables.items()
        }
        changed: dict[str, Any] = {
            "phenotypes": people.model_copy(update=places),
            "tables": tables,
            "parcellations": relative_paths(self.parcellations, root),
            "pipelines": {
                name: one.model_copy(update={"reads": relative_paths(one.reads, root)})
                for name, one in self.pipelines.items()
            },
        }
        if images is not None:
            changed["images"] = images.model_copy(
                update={key: relative_paths(getattr(images, key), root) for key in _IMAGE_PATHS}
            )
        changed["connectivity"] = {
            name: one.model_copy(update={key: relative_paths(getattr(one, key), root) for key in _MATRIX_PATHS})
            for name, one in self.connectivity.items()
        }
        return self.model_copy(update=changed)

    def parcellations_of(self, pipeline: str) -> list[str]:
        """Return the names of the parcellations (and tables) that a pipeline is run on, in study order."""
        return self.pipelines[pipeline].parcellations.select(self.region_sets)

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
        if self.grid.by_fold.matches(regions):
            return True
        return None if self.grid.by_fold_above is None else n_regions > self.grid.by_fold_above
