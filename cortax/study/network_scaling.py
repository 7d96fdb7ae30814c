"""A study of how long networks take: settings of processes and estimator jobs, on this machine."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from cortax.study.network import Expression, Forest
from cortax.study.sections import Name, Section

__all__ = ["NetworkScaling", "Timings"]

_CROSSED = re.compile(r"[1-9]\d*x([1-9]\d*|all)|allx([1-9]\d*)")
Several = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


class Timings(Section):
    """What is timed: every entry is a network from its start to its last link, in processes of its own."""

    n_genes: Several = [10, 100]
    crossed: list[str] = ["1x1", "4x1", "1x4", "4x4", "1xall", "1x32", "32x1"]
    workers: list[Annotated[int, Field(ge=1)]] = []
    genes_per_worker: int = Field(default=10, ge=1)
    memory_genes: list[Annotated[int, Field(ge=2)]] = []
    repeats: int = Field(default=3, ge=1)
    round: int = Field(default=1, ge=1)
    limit: float = Field(default=600.0, gt=0)

    @field_validator("crossed")
    @classmethod
    def _processes_by_jobs(cls, value: list[str]) -> list[str]:
        for entry in value:
            if not _CROSSED.fullmatch(entry):
                raise ValueError(f"{entry!r}: must be processes x estimator jobs, such as '4x1', '1xall' or 'allx1'")
        return value


class NetworkScaling(Section):
    """How long the networks of some genes take, by processes and by jobs of the estimator itself."""

    # The jobs without which a build found nothing, and what they have.
    main_jobs: ClassVar[tuple[str, str]] = ("timings", "timings")

    kind: Literal["network-scaling"]
    name: Name
    title: str
    simulated: bool = False
    seed: int = Field(default=0, ge=0)
    expression: Expression
    forest: Forest = Forest()
    timings: Timings = Timings()
    prices: dict[Name, Annotated[float, Field(ge=0)]] = {}

    @model_validator(mode="after")
    def _has_jobs_of_its_own(self) -> NetworkScaling:
        method, timed = self.forest.method, ("forest", "extra_trees")
        if method not in timed:
            raise ValueError(f"forest.method = {method!r}: scikit-learn's estimator is timed, one of {timed}")
        return self
