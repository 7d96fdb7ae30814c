"""A study of sequences: what a user asks for, read from a file with `kind = "sequences"`."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cortax.study.section import Name, PageOptions, Section, Study, expand_paths

__all__ = [
    "ChooseOptions",
    "InputOptions",
    "NetworkOptions",
    "SequenceStatistics",
    "SequencesStudy",
    "SiteOptions",
    "Target",
    "TrainingSection",
]

Days = Annotated[list[date], Field(min_length=2, max_length=2)]
Positive = Annotated[float, Field(gt=0)]


class SiteOptions(Section):
    """One table of days a site, and how its days are divided. Periods hold their first and their last day."""

    files: str
    names: list[Name] = Field(min_length=1)
    time: str = "date"
    train: Days
    validation: Days
    test: Days
    window: int = Field(ge=2)
    warm_up: int = Field(default=0, ge=0)
    fill: int = Field(default=0, ge=0)

    @field_validator("files")
    @classmethod
    def _place(cls, files: str) -> str:
        if "{site}" not in files:
            raise ValueError(f"{files!r}: must have {{site}}, which differs from file to file")
        return expand_paths(files)

    @field_validator("names")
    @classmethod
    def _once(cls, names: list[str]) -> list[str]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice} occur more than once")
        return names

    @model_validator(mode="after")
    def _periods_apart(self) -> SiteOptions:
        if self.warm_up >= self.window:
            raise ValueError(f"warm_up = {self.warm_up}: must be shorter than window = {self.window} days")
        for name, (first, last) in self.periods.items():
            if (n_days := (last - first).days + 1) < self.window:
                raise ValueError(
                    f"{name} = {first} to {last}: {max(n_days, 0)} days, fewer than a window of {self.window}"
                )
        order = sorted(self.periods.items(), key=lambda item: item[1])
        for (name, (_, last)), (later, (first, _)) in itertools.pairwise(order):
            if first <= last:
                raise ValueError(f"{later} begins on {first}, and {name} ends on {last}: periods must not overlap")
        return self

    @property
    def periods(self) -> dict[str, tuple[date, date]]:
        """The first and the last day of each period."""
        days = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: (first, last) for name, (first, last) in days.items()}


class InputOptions(Section):
    """What networks are given each day."""

    columns: list[str] = Field(min_length=1)
    day_of_year: bool = True


class Target(Section):
    """What networks predict each day."""

    column: str
    transform: Literal["none", "log", "sqrt"] = "none"
    primary: bool = False


class NetworkOptions(Section):
    """The network of every model."""

    kind: Literal["lstm", "torch"] = "lstm"
    hidden: int = Field(default=20, ge=1)
    module: str | None = None
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _of_one_kind(self) -> NetworkOptions:
        if strange := sorted(self.model_fields_set - self.settings.keys()):
            raise ValueError(f"kind = {self.kind!r}: {', '.join(strange)} is of the other kind")
        if self.kind == "torch" and self.module is None:
            raise ValueError("kind = 'torch': module is missing, such as 'dev.networks:Gauge'")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """What is of its kind."""
        names = ("kind", "hidden") if self.kind == "lstm" else ("kind", "module", "arguments")
        return {name: getattr(self, name) for name in names}


class TrainingSection(Section):
    """How models are trained: one for each factor and seed."""

    epochs: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    rate: Positive = 1e-3
    batch: int = Field(default=10, ge=1)
    clip: Positive | None = None
    patience: int | None = Field(default=None, ge=1)
    factors: list[Annotated[float, Field(ge=0)]] = Field(default=[0.0], min_length=1)
    seeds: int = Field(default=1, ge=1)

    @field_validator("factors")
    @classmethod
    def _once(cls, factors: list[float]) -> list[float]:
        if len(set(factors)) < len(factors):
            raise ValueError(f"{factors}: a factor occurs more than once")
        return factors


class ChooseOptions(Section):
    """By what the factor of a site is chosen: the median over seeds in the validation period."""

    metric: Literal["nse", "kge", "rmse"] = "nse"


class SequenceStatistics(Section):
    """How the chosen factor is compared with single-task models in the test period."""

    metric: Literal["nse", "kge", "rmse"] = "nse"
    correction: Literal["bh", "by", "holm"] = "bh"
    confidence: float = Field(default=0.95, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)


class SequencesStudy(Study):
    """Days of many sites, and small networks that predict them: a model a site, factor and seed."""

    kind: Literal["sequences"]
    sites: SiteOptions
    inputs: InputOptions
    targets: dict[Name, Target] = Field(min_length=1)
    network: NetworkOptions = NetworkOptions()
    training: TrainingSection
    choose: ChooseOptions = ChooseOptions()
    statistics: SequenceStatistics = SequenceStatistics()
    report: PageOptions = PageOptions()

    @model_validator(mode="after")
    def _consistent(self) -> SequencesStudy:
        primary = [name for name, target in self.targets.items() if target.primary]
        if len(self.targets) > 1 and len(primary) != 1:
            raise ValueError(f"targets: exactly one must have primary = true. Got {primary or 'none'} instead")
        if len(self.targets) == 1 and self.training.factors != [0.0]:
            raise ValueError(
                f"training.factors = {self.training.factors}: are of the losses of secondary targets, and there is one "
                "target"
            )
        columns = [*self.inputs.columns, *(target.column for target in self.targets.values())]
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(f"inputs.columns and targets: {twice} occur more than once; a target is no input")
        return self

    @property
    def target_names(self) -> list[str]:
        """The primary target first."""
        return sorted(self.targets, key=lambda name: not self.targets[name].primary)
