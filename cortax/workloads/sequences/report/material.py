"""What the page of sequences rests on: the jobs of one study, read when they are asked for."""

from __future__ import annotations

import functools

import pandas as pd

from cortax.report.page import MadeJob, StudyJobs

__all__ = ["Material"]


class Material:
    """What the jobs of a study hold."""

    def __init__(self, made: StudyJobs) -> None:
        self.made = made

    def table(self, method: str, file: str) -> pd.DataFrame:
        """Return the tables of all jobs of a method, each with its job's key and id; empty where there is no job."""
        parts = [
            pd.read_parquet(job.folder / file).assign(**job.key, job=job.id)
            for job in self.made.of(method)
        ]  # fmt: skip
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @functools.cached_property
    def skill(self) -> pd.DataFrame:
        """The skill of every model."""
        return self.table("skill", "skill.parquet")

    @functools.cached_property
    def predict(self) -> dict[str, MadeJob]:
        """The job with the predictions of each site."""
        return {job.key["site"]: job for job in self.made.of("predict")}
