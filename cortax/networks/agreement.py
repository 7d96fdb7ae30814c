"""How well the networks of several forests agree with links that are known: one row for each forest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from cortax.errors import InputError
from cortax.networks.store import StoredImportances
from cortax.networks.truth import GoldStandard, network_scores

__all__ = ["score_forests"]


def score_forests(
    found: Mapping[str, StoredImportances],
    leave: Mapping[str, Sequence[str]],
    regulators: Sequence[str],
    gold: GoldStandard,
    *,
    n_blocks: Mapping[str, int],
) -> pd.DataFrame:
    """Score all candidate links of every forest, not only those that are kept.

    Parameters
    ----------
    found : mapping of str to StoredImportances
        Regressions by name, which is that of their forest, or begins with it and a slash.
    leave : mapping of str to sequence of str
        By that name, genes that are not asked for.
    regulators : sequence of str
        Of all regressions.
    gold : GoldStandard
    n_blocks : mapping of forest to int
        How many regressions each has; one that lacks some is left out, and it is said.

    Returns
    -------
    DataFrame
        forest, and the fields of `NetworkScores`.

    Raises
    ------
    InputError
        No forest is whole; see also `network_scores`.
    """
    rows = []
    for forest, n_wanted in n_blocks.items():
        of_forest = [(one, leave.get(name, ())) for name, one in found.items() if name.partition("/")[0] == forest]
        if len(of_forest) < n_wanted:
            print(f"{forest}: {n_wanted - len(of_forest)} of {n_wanted} regressions are missing: it is not scored")
            continue
        targets = [gene for one, left in of_forest for gene, _ in one.rows(left)]
        scores = network_scores(_links(of_forest, regulators, gold), gold, regulators=regulators, targets=targets)
        rows.append({"forest": forest, **asdict(scores)})
    if not rows:
        raise InputError("no forest has all of its regressions: there is nothing to score")
    return pd.DataFrame(rows)


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
