"""The sections of a study file that ask for what comes after evaluation: strategies, inference, importance, scaling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cortax.study.patterns import ALL, Patterns
from cortax.study.section import Name, PageOptions, Section

__all__ = ["Comparisons", "Ensemble", "Importance", "RegionsPage", "Scaling", "Statistics"]


class Comparisons(Section):
    """Which models are compared with each other, target by target; see `cortax.learning.stats.compared`."""

    pairs: Literal["all", "best", "reference"] | None = None
    reference: str | list[str] = []
    parcellations: Patterns = ALL
    pipelines: Patterns = ALL
    metrics: list[str] = []
    rope: dict[str, Annotated[float, Field(ge=0)]] = {}
    correction: Literal["bh", "by"] = "bh"
    limit: int = Field(default=5000, ge=1)

    @model_validator(mode="after")
    def _reference_is_used(self) -> Comparisons:
        if bool(self.references) != (self.rule == "reference"):
            found = f"got pairs = {self.pairs!r}, reference = {self.reference!r}"
            raise ValueError(f"reference goes with pairs = 'reference', and that with a reference; {found}")
        return self

    @property
    def references(self) -> list[str]:
        """Names of the pipelines and parcellations that others are compared with."""
        return [self.reference] if isinstance(self.reference, str) else self.reference

    @property
    def rule(self) -> str:
        """Which pairs: what is said, else those with the reference, if there is one, else all."""
        return self.pairs or ("reference" if self.references else "all")


class Ensemble(Section):
    """A pool of parcellations, and the strategies that make one prediction of several of them."""

    parcellations: Patterns = Field(min_length=1)
    pipelines: Patterns = Field(default=ALL, min_length=1)
    pooled: bool = False
    strategies: list[Literal["grid", "voted", "stacked"]] = Field(default=["grid", "voted", "stacked"], min_length=1)
    n_members: list[Annotated[int, Field(ge=2)]] = []

    @model_validator(mode="after")
    def _once_each(self) -> Ensemble:
        for key, found in (("strategies", self.strategies), ("n_members", self.n_members)):
            if len(set(found)) < len(found):
                raise ValueError(f"{key}: {found} names one twice")
        return self


class Importance(Section):
    """Which regions matter, by pipelines and parcellations; each region is permuted `n_repeats` times."""

    parcellations: Patterns = ALL
    pipelines: Patterns = ALL
    n_repeats: int = Field(default=5, ge=1)


class Statistics(Section):
    """Permutation tests of the scores of some pipelines on some parcellations, see `permutations`."""

    permutations: int = Field(default=0, ge=0)
    exchange: Literal["whole-groups", "within-groups"] = "whole-groups"
    parcellations: Patterns = ALL
    pipelines: Patterns = Patterns(("ridge", "elastic"))


class Scaling(Section):
    """How performance grows with the number of regions, by type of parcellation."""

    types: dict[Name, Patterns] = {}
    sizes: dict[Name, Annotated[int, Field(ge=1)]] = {}
    metrics: dict[Literal["regression", "classification", "ordinal"], str] = {}
    n_bootstrap: int = Field(default=1000, ge=0)


class RegionsPage(PageOptions):
    """The page of HTML that a build writes, and whose importance it draws on brains: "parcellation/pipeline"."""

    brains: Patterns | None = None
