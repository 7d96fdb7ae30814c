"""What the page of a network rests on: the jobs of one study, by forest, read when they are asked for."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.report.page import MadeJob, StudyJobs

__all__ = ["Material", "is_known"]


class Material:
    """What the jobs of a network study hold. A forest of which nothing is left after failures is in none of it."""

    def __init__(self, made: StudyJobs) -> None:
        self.made = made
        self.ranked, self.graphs = self._by_forest("rank"), self._by_forest("graph")

    def _by_forest(self, method: str) -> dict[str, MadeJob]:
        return {job.key["forest"]: job for job in self.made.of(method)}

    @functools.cached_property
    def links(self) -> dict[str, pd.DataFrame]:
        """The links that are kept of each forest, the strongest first: regulator, target, importance."""
        return {forest: pd.read_parquet(job.folder / "links.parquet") for forest, job in self.ranked.items()}

    @functools.cached_property
    def edges(self) -> dict[str, pd.DataFrame]:
        """The links that are edges of each graph, the strongest first: rank, regulator, target, importance."""
        return {forest: _read_text(job.folder / "network.tsv") for forest, job in self.graphs.items()}

    @functools.cached_property
    def genes(self) -> dict[str, pd.DataFrame]:
        """The genes of each graph; see `cortax.workloads.network.graphs.node_table`."""
        return {forest: _read_text(job.folder / "genes.tsv") for forest, job in self.graphs.items()}

    @functools.cached_property
    def known(self) -> frozenset[tuple[str, str]] | None:
        """The links of the gold standard; None if there is none, or no forest could be compared with it."""
        for job in self.made.of("network_curves"):
            table = pd.read_parquet(job.folder / "known.parquet")
            return frozenset(zip(table["regulator"], table["target"], strict=True))
        return None

    @functools.cached_property
    def forests(self) -> dict[str, dict[str, Any]]:
        """Options of each forest, as its regressions got them."""
        return {job.key["forest"]: job.setup["options"] for job in self.made.of("regress")}

    @functools.cached_property
    def n_targets(self) -> dict[str, int]:
        """How many target genes the links of each forest are of."""
        found = {}
        for forest, job in self.ranked.items():
            # It may have ranked other blocks: those of an earlier build that gave the same links.
            made = [job.beside(name).setup["options"]["genes"] for name in job.setup["jobs"]["regress"]]
            blocks = zip(job.setup["options"]["blocks"], made, strict=True)
            found[forest] = sum(len(set(genes) - set(block["left_out"])) for block, genes in blocks)
        return found


def is_known(table: pd.DataFrame, known: frozenset[tuple[str, str]]) -> list[bool]:
    """Say of each row, with a regulator and a target, whether it is a link of the gold standard."""
    return [link in known for link in zip(table["regulator"], table["target"], strict=True)]


def _read_text(path: Path) -> pd.DataFrame:
    # A gene may be called "NA", or 7.
    names = {"gene": str, "regulator": str, "target": str}
    return pd.read_csv(path, sep="\t", keep_default_na=False, dtype=names)
