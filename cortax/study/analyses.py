"""The sections of a study file that ask for what comes after evaluation: strategies, inference, importance, scaling."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cortax.study.sections import Name, Section

__all__ = ["Ensemble", "Importance", "Scaling", "Statistics"]


class Ensemble(Section):
    """A pool of parcellations, and the strategies that make one prediction of several of them."""

    parcellations: list[str] = Field(min_length=1)
    pipelines: list[str] = ["*"]
    pooled: bool = False
    strategies: list[Literal["grid", "voted", "stacked"]] = ["grid", "voted", "stacked"]
    n_members: list[int] = []


class Importance(Section):
    """Which regions matter, by pipelines and parcellations."""

    parcellations: list[str] = ["*"]
    pipelines: list[str] = ["*"]
    n_repeats: int = Field(default=5, ge=1)


class Statistics(Section):
    """Inference on out-of-fold predictions."""

    permutations: int = Field(default=0, ge=0)
    exchange: Literal["whole-groups", "within-groups"] = "whole-groups"
    parcellations: list[str] = ["*"]
    pipelines: list[str] = ["ridge", "elastic"]


class Scaling(Section):
    """How performance grows with the number of regions, by type of parcellation."""

    types: dict[Name, list[str]] = {}
