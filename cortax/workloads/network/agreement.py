"""How well the networks of several forests agree with links that are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cortax.data.files import reading_once
from cortax.errors import InputError
from cortax.provenance import outputs
from cortax.workloads.network.store import StoredImportances, open_genes, open_importances
from cortax.workloads.network.truth import (
    Candidates,
    GoldStandard,
    find_candidates,
    network_curves,
    network_scores,
    read_gold_standard,
)

__all__ = ["Regressed", "open_regressed", "read_known", "score_forests", "trace_forests"]


@dataclass(frozen=True, eq=False)
class Regressed:
    """The regressions of a study, as a job finds them.

    Attributes
    ----------
    parts : sequence of (str, StoredImportances, sequence of str)
        The forest of each regression, its importances, and its genes that are not asked for.
    regulators : sequence of str
        Of all regressions.
    n_blocks : mapping of forest to int
        How many regressions each has; one that lacks some is left out, and it is said.
    """

    parts: Sequence[tuple[str, StoredImportances, Sequence[str]]]
    regulators: Sequence[str]
    n_blocks: Mapping[str, int]

    def candidates(self, gold: GoldStandard) -> Iterator[tuple[str, Candidates]]:
        """Yield the candidate links of every whole forest, not only those that are kept.

        Raises InputError: no forest is whole; see also `find_candidates`.
        """
        n_whole = 0
        for forest, n_wanted in self.n_blocks.items():
            parts = [(one, left_out) for of, one, left_out in self.parts if of == forest]
            if len(parts) < n_wanted:
                print(f"{forest}: {n_wanted - len(parts)} of {n_wanted} regressions are missing: it is not scored")
                continue
            n_whole += 1
            targets = [gene for one, left in parts for gene, _ in one.rows(left)]
            links = _links(parts, self.regulators, gold)
            yield forest, find_candidates(links, gold, regulators=self.regulators, targets=targets)
        if not n_whole:
            raise InputError("no forest has all of its regressions: there is nothing to score")


def open_regressed(regulators: Any, regress: Sequence[Any], options: Any) -> Regressed:
    """Open the regressions that a job is asked to compare with a gold standard.

    Of the options of the job `blocks` and `n_blocks` matter; `regulators` and `regress` are jobs of Exax.
    Raises ProjectError: a file is missing or altered.
    """
    for source in (regulators, *regress):
        outputs.check(source.path)
    names = open_genes(regulators.path).names
    parts = [
        (block["forest"], open_importances(source.path, names), block["left_out"])
        for block, source in zip(options.blocks, regress, strict=True)
    ]
    return Regressed(parts, names, options.n_blocks)


def read_known(path: Path, digest: str) -> GoldStandard:
    """Read a gold standard, if it is still the one that the build saw.

    Raises InputError: it changed, or see `read_gold_standard`.
    """
    with reading_once() as digest_of:
        gold = read_gold_standard(path)
        read = digest_of(path)
    if read != digest:
        raise InputError(f"{path}: changed since the build began; start it again")
    return gold


def score_forests(regressed: Regressed, gold: GoldStandard) -> pd.DataFrame:
    """Score every whole forest: a row each, with forest and the fields of `NetworkScores`."""
    return pd.DataFrame(
        [{"forest": forest, **asdict(network_scores(candidates))} for forest, candidates in regressed.candidates(gold)]
    )


def trace_forests(regressed: Regressed, gold: GoldStandard) -> pd.DataFrame:
    """Trace the curves of every whole forest: forest, and the columns of `network_curves`."""
    return pd.concat(
        [
            network_curves(candidates).assign(forest=forest)[["forest", "curve", "x", "y"]]
            for forest, candidates in regressed.candidates(gold)
        ],
        ignore_index=True,
    )


def _links(
    found: Sequence[tuple[StoredImportances, Sequence[str]]], regulators: Sequence[str], gold: GoldStandard
) -> pd.DataFrame:
    """All links that the gold standard can tell about: of tens of thousands of genes it knows a few."""
    known = np.flatnonzero([name in gold.regulators for name in regulators])
    names = np.asarray(regulators, dtype=object)[known]
    parts = [
        pd.DataFrame({"regulator": names, "target": gene, "importance": np.asarray(importances)[known]})
        for one, leave in found
        for gene, importances in one.rows(leave)
        if gene in gold.targets
    ]
    links = pd.concat(parts) if parts else pd.DataFrame({"regulator": [], "target": [], "importance": []})
    return links[links["regulator"] != links["target"]]
