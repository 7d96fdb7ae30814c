"""Maps of all subjects of one kind of features, one decoder and one phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cortax.errors import InputError
from cortax.learning.arrays import Floats
from cortax.provenance import outputs
from cortax.store import build, load, save
from cortax.workloads.decoding.described import Described
from cortax.workloads.decoding.folds import trial_targets
from cortax.workloads.decoding.scoring import NullOptions, SubjectMaps, subject_maps
from cortax.workloads.decoding.store import open_votes

__all__ = ["StudyMaps", "make_maps", "open_maps", "save_maps"]


@dataclass(frozen=True, eq=False)
class StudyMaps:
    """Maps of each subject, see `SubjectMaps`.

    Attributes
    ----------
    observed, chance : float64 arrays of shape (n_subjects, n_bins, n_bins)
    permuted : float64 array of shape (n_subjects, n_permutations, n_bins, n_bins), memory-mapped
    subjects : tuple of str
    n_trials : tuple of int
        Of each subject, in the phase that is tested in.
    centres : tuple of tuple of float
        Seconds of the middles of each subject's bins.
    classes : tuple of tuple of str
    metric : str
    n_models : int
        Votes of a trial.
    """

    observed: Floats
    chance: Floats
    permuted: Floats
    subjects: tuple[str, ...]
    n_trials: tuple[int, ...]
    centres: tuple[tuple[float, ...], ...]
    classes: tuple[tuple[str, ...], ...]
    metric: str
    n_models: int


def make_maps(sources: Sequence[Any], options: Mapping[str, Any]) -> StudyMaps:
    """Score the votes of every subject, and votes against permuted labels; one subject at a time.

    Parameters
    ----------
    sources : sequence of jobs of Exax
        A `generalise` job of each subject.
    options : mapping
        Those of the method `decoding_null`.

    Raises
    ------
    InputError
        Subjects that are tested as a group differ in channels, times or classes.
    """
    asked = build(NullOptions, options)
    made: list[SubjectMaps] = []
    known: list[tuple[Described, tuple[str, ...]]] = []
    n_models = 1
    for subject, source in zip(options["subjects"], sources, strict=True):
        votes = open_votes(source.path)
        y, _ = trial_targets(votes.about.labels, continuous=not votes.classes)
        made.append(subject_maps(votes, y, asked, subject))
        known.append((votes.about, votes.classes))
        n_models = votes.n_models
        if options["group"]:
            _check_alike(options["subjects"], known)
    return StudyMaps(
        np.array([maps.observed for maps in made]),
        np.array([maps.chance for maps in made]),
        np.array([maps.permuted for maps in made]),
        tuple(options["subjects"]),
        tuple(len(about.labels) for about, _ in known),
        tuple(about.centres for about, _ in known),
        tuple(classes for _, classes in known),
        asked.metric,
        n_models,
    )


def _check_alike(subjects: Sequence[str], known: Sequence[tuple[Described, tuple[str, ...]]]) -> None:
    (first, classes), (last, other_classes) = known[0], known[-1]
    for name, a, b in (
        ("channels", first.channels, last.channels),
        ("times of bins", np.round(first.centres, 6).tolist(), np.round(last.centres, 6).tolist()),
        ("classes", classes, other_classes),
    ):
        if a != b:
            raise InputError(
                f"subjects {subjects[0]!r} and {subjects[len(known) - 1]!r} differ in {name}: {list(a)} and {list(b)}. "
                "A group needs the same; say statistics.group = false where each subject is tested alone"
            )


def save_maps(folder: str | Path, maps: StudyMaps) -> list[str]:
    """Write maps into a folder; return the names of the files."""
    names = ("subjects", "n_trials", "centres", "classes", "metric", "n_models")
    content = {
        "maps.npz": {"observed": maps.observed, "chance": maps.chance},
        "permuted.npy": maps.permuted,
        "maps.json": {name: getattr(maps, name) for name in names},
    }
    return save(folder, content)


def open_maps(source: Any) -> StudyMaps:
    """Open what `save_maps` wrote into the folder of a job of Exax. Raises ProjectError: it is not what was saved."""
    outputs.check(source.path)
    arrays, permuted, about = load(source.path, "maps.npz", "permuted.npy", "maps.json")
    nested = {name: tuple(tuple(values) for values in about[name]) for name in ("centres", "classes")}
    return build(StudyMaps, arrays, about, nested, {"permuted": permuted})
