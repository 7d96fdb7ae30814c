"""All tests of one phase, and the tables and arrays that its job keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.learning.arrays import Floats
from cortax.workloads.decoding.inference import GroupTest, MapTest, group_test, subject_test
from cortax.workloads.decoding.maps import StudyMaps, open_maps
from cortax.workloads.decoding.summaries import clusters_table, group_table, interval, scores_table

__all__ = ["PhaseTests", "make_tests"]


@dataclass(frozen=True, eq=False)
class PhaseTests:
    """What is known of one phase: tables, see `summaries`, and arrays by "features/decoder/name", see `make_tests`."""

    scores: pd.DataFrame
    group: pd.DataFrame
    clusters: pd.DataFrame
    arrays: dict[str, npt.NDArray[Any]]


def make_tests(sources: Sequence[Any], options: Mapping[str, Any]) -> PhaseTests:
    """Test the maps of all features and decoders of a phase together.

    Parameters
    ----------
    sources : sequence of jobs of Exax
        A `decoding_null` job for each of `options["maps"]`.
    options : mapping
        Those of the method `decoding_group`.

    Returns
    -------
    PhaseTests
        Arrays of each map: `subjects` (n_subjects, n_bins, n_bins), scores; `chance`, `mean`, `low`, `high` (n_bins,
        n_bins) over subjects; `p_subjects`, as scores; and where there is a group `t`, `clusters` and, for each null,
        `p_NULL`, `cluster_p_NULL` and `largest_NULL`.
    """
    names = [f"{asked['features']}/{asked['decoder']}" for asked in options["maps"]]
    parts = {name: open_maps(source) for name, source in zip(names, sources, strict=True)}
    common = _common_subjects(parts)
    tests = {subject: subject_test(*_of_subject(parts, subject)) for subject in _all_subjects(parts)}
    group = _test_group(parts, common, options) if options["group"] and len(common) > 1 else None
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, maps in parts.items():
        found = _arrays(maps, name, tests, group, options["confidence"])
        arrays |= {f"{name}/{key}": values for key, values in found.items()}
    grouped = {name: _some(maps, common) for name, maps in parts.items()}
    tables = (
        scores_table(parts, tests),
        group_table(grouped, group, options["confidence"]),
        clusters_table(grouped, group),
    )
    for table in tables:
        table.insert(0, "trained", options["trained"])
    return PhaseTests(*tables, arrays)


def _all_subjects(parts: Mapping[str, StudyMaps]) -> list[str]:
    return list(dict.fromkeys(subject for maps in parts.values() for subject in maps.subjects))


def _common_subjects(parts: Mapping[str, StudyMaps]) -> list[str]:
    """Subjects that have every map: those whose job failed are missing in some."""
    return [subject for subject in _all_subjects(parts) if all(subject in maps.subjects for maps in parts.values())]


def _of_subject(parts: Mapping[str, StudyMaps], subject: str) -> tuple[dict[str, Floats], dict[str, Floats]]:
    there = {name: maps for name, maps in parts.items() if subject in maps.subjects}
    places = {name: maps.subjects.index(subject) for name, maps in there.items()}
    return (
        {name: maps.observed[places[name]] for name, maps in there.items()},
        {name: np.asarray(maps.permuted[places[name]]) for name, maps in there.items()},
    )


def _some(maps: StudyMaps, subjects: Sequence[str]) -> StudyMaps:
    places = [maps.subjects.index(subject) for subject in subjects]

    def chosen(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[place] for place in places)

    return StudyMaps(
        maps.observed[places],
        maps.chance[places],
        maps.permuted[places],
        tuple(subjects),
        chosen(maps.n_trials),
        chosen(maps.centres),
        chosen(maps.classes),
        maps.metric,
        maps.n_models,
    )


def _test_group(parts: Mapping[str, StudyMaps], subjects: Sequence[str], options: Mapping[str, Any]) -> GroupTest:
    some = {name: _some(maps, subjects) for name, maps in parts.items()}
    return group_test(
        {name: maps.observed for name, maps in some.items()},
        {name: np.asarray(maps.permuted) for name, maps in some.items()},
        nulls=list(options["null"]),
        alpha=options["threshold"],
        n_draws=options["draws"],
        seed=options["seed"],
    )


def _arrays(
    maps: StudyMaps,
    name: str,
    tests: Mapping[str, Mapping[str, MapTest]],
    group: GroupTest | None,
    confidence: float,
) -> dict[str, npt.NDArray[Any]]:
    scores = maps.observed + maps.chance
    low, high = interval(scores, confidence)
    of_subjects = [tests[subject][name] for subject in maps.subjects]
    found: dict[str, npt.NDArray[Any]] = {
        "subjects": scores,
        "names": np.array(maps.subjects),
        "centres": np.array(maps.centres),
        "chance": maps.chance.mean(axis=0),
        "mean": scores.mean(axis=0),
        "low": low,
        "high": high,
        "p_subjects": np.array([test.p for test in of_subjects]),
        "largest_subjects": np.array([test.largest for test in of_subjects]),
        "highest": maps.observed.reshape(len(scores), -1).max(axis=1),
    }
    if group is not None:
        found |= {"t": group.t[name], "clusters": group.clusters[name][0]}
        for null, of_maps in group.tests.items():
            test = of_maps[name]
            found |= {f"p_{null}": test.p, f"cluster_p_{null}": test.cluster_p, f"largest_{null}": test.largest}
    return found
