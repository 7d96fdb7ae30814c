"""Tables of tests: of every subject, of the group, and of its clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cortax.learning.arrays import Floats
from cortax.workloads.decoding.inference import GroupTest, MapTest
from cortax.workloads.decoding.maps import StudyMaps

__all__ = ["clusters_table", "group_table", "interval", "scores_table"]

GROUP_COLUMNS = {
    "n_subjects": "int64", "metric": "str", "chance": "float64", "diagonal": "float64", "low": "float64",
    "high": "float64", "peak": "float64", "t": "float64", "train_time": "float64", "test_time": "float64",
    "null": "str", "p": "float64", "p_all": "float64",
}  # fmt: skip
CLUSTER_COLUMNS = {
    "null": "str", "cluster": "int64", "n_cells": "int64", "sum_t": "float64", "train_from": "float64",
    "train_to": "float64", "test_from": "float64", "test_to": "float64", "p": "float64", "p_all": "float64",
}  # fmt: skip


def interval(values: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the interval of the mean over the first axis by Student's t; NaN for a single value."""
    n = len(values)
    mean = values.mean(axis=0)
    if n < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.isf((1 - confidence) / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean - half, mean + half


def _place(values: Floats, centres: Sequence[float]) -> dict[str, float]:
    trained, tested = np.unravel_index(int(np.argmax(values)), values.shape)
    return {"train_time": float(centres[int(trained)]), "test_time": float(centres[int(tested)])}


def scores_table(parts: Mapping[str, StudyMaps], tests: Mapping[str, Mapping[str, MapTest]]) -> pd.DataFrame:
    """Return a row for each features, decoder and subject.

    `diagonal` is the mean score where the bins trained and tested in are one, `peak` the best score of the map, `p` the
    probability of so high a score anywhere in the map if labels are exchangeable, `p_all` anywhere in the maps of all
    features and decoders.
    """
    rows = []
    for name, maps in parts.items():
        for number, subject in enumerate(maps.subjects):
            scores = maps.observed[number] + maps.chance[number]
            test = tests[subject][name]
            rows.append(
                {
                    **_names(name),
                    "subject": subject,
                    "n_trials": maps.n_trials[number],
                    "metric": maps.metric,
                    "chance": float(maps.chance[number].mean()),
                    "diagonal": float(np.diag(scores).mean()),
                    "peak": float(scores.flat[int(np.argmax(maps.observed[number]))]),
                    **_place(maps.observed[number], maps.centres[number]),
                    "p": float(test.p.min()),
                    "p_all": float(test.p_all.min()),
                }
            )
    return pd.DataFrame(rows)


def _names(name: str) -> dict[str, str]:
    features, _, decoder = name.partition("/")
    return {"features": features, "decoder": decoder}


def _frame(rows: list[dict[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    kinds = {"features": "str", "decoder": "str", **columns}
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)


def group_table(parts: Mapping[str, StudyMaps], test: GroupTest | None, confidence: float) -> pd.DataFrame:
    """Return a row for each features, decoder and null: means over subjects, and p of the largest t of the map.

    `low` and `high` bound the mean of the diagonal. No row where subjects are not tested as a group.
    """
    rows = []
    for null, of_maps in (test.tests if test else {}).items():
        for name, maps in parts.items():
            assert test is not None
            diagonals = np.array([np.diag(values).mean() for values in maps.observed + maps.chance])
            low, high = interval(diagonals, confidence)
            mean = (maps.observed + maps.chance).mean(axis=0)
            t = test.t[name]
            rows.append(
                {
                    **_names(name),
                    "n_subjects": len(maps.subjects),
                    "metric": maps.metric,
                    "chance": float(maps.chance.mean()),
                    "diagonal": float(diagonals.mean()),
                    "low": float(low),
                    "high": float(high),
                    "peak": float(mean.flat[int(np.argmax(t))]),
                    "t": float(t.max()),
                    **_place(t, maps.centres[0]),
                    "null": null,
                    "p": float(of_maps[name].p.min()),
                    "p_all": float(of_maps[name].p_all.min()),
                }
            )
    return _frame(rows, GROUP_COLUMNS)


def clusters_table(parts: Mapping[str, StudyMaps], test: GroupTest | None) -> pd.DataFrame:
    """Return a row for each cluster and null; times (s) are of the middles of the cluster's first and last bins."""
    rows = [
        {**_names(name), "null": null, **row}
        for null, of_maps in (test.tests if test else {}).items()
        for name, found in of_maps.items()
        for row in _clusters(test, name, found, parts[name].centres[0])
    ]
    return _frame(rows, CLUSTER_COLUMNS)


def _clusters(test: GroupTest | None, name: str, found: MapTest, centres: Sequence[float]) -> Iterator[dict[str, Any]]:
    assert test is not None
    labels, sums = test.clusters[name]
    for number, total in enumerate(sums.tolist(), 1):
        trained, tested = np.nonzero(labels == number)
        yield {
            "cluster": number,
            "n_cells": len(trained),
            "sum_t": total,
            "train_from": centres[trained.min()],
            "train_to": centres[trained.max()],
            "test_from": centres[tested.min()],
            "test_to": centres[tested.max()],
            "p": float(found.cluster_p[number - 1]),
            "p_all": float(found.cluster_p_all[number - 1]),
        }
