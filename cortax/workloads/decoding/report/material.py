"""What the page of decoding rests on: the jobs of one study, read when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.report.page import MadeJob, StudyJobs

__all__ = ["Material", "TestedMap"]


@dataclass(frozen=True, eq=False)
class TestedMap:
    """The maps of one phase, features and decoder, as `make_tests` keeps them.

    `arrays` by name; `options`: those of its job; `job`: which made it.
    """

    phase: str
    features: str
    decoder: str
    arrays: Mapping[str, npt.NDArray[Any]]
    options: Mapping[str, Any]
    metric: str
    job: MadeJob

    @property
    def name(self) -> str:
        """What menus call it."""
        return f"{self.phase}: {self.features}, {self.decoder}"

    @property
    def is_group(self) -> bool:
        """Whether subjects are tested together."""
        return "t" in self.arrays


class Material:
    """What the jobs of a study hold, and the montage that the study names."""

    def __init__(self, made: StudyJobs, montage: str | None = None) -> None:
        self.made = made
        self.montage = montage

    def table(self, method: str, file: str) -> pd.DataFrame:
        """Return the tables of all jobs of a method, each with its job's key and id."""
        parts = [
            pd.read_parquet(job.folder / file).assign(**job.key, job=job.id)
            for job in self.made.of(method)
        ]  # fmt: skip
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @functools.cached_property
    def maps(self) -> list[TestedMap]:
        """All maps, phase by phase."""
        found = []
        for job in self.made.of("decoding_group"):
            options, scores = job.setup["options"], pd.read_parquet(job.folder / "scores.parquet")
            with np.load(job.folder / "maps.npz", allow_pickle=False) as stored:
                arrays = dict(stored)
            for asked in options["maps"]:
                features, decoder = asked["features"], asked["decoder"]
                prefix = f"{features}/{decoder}/"
                own = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
                metric = str(scores["metric"].iloc[0])
                found.append(TestedMap(job.key["phase"], features, decoder, own, options, metric, job))
        return found
