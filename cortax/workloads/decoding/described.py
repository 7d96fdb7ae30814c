"""What features are of, and features on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cortax.learning.arrays import Singles
from cortax.store import build, load

__all__ = ["Described", "open_described", "open_features"]


@dataclass(frozen=True)
class Described:
    """What the features of one subject and phase are of.

    Attributes
    ----------
    labels, groups : tuples of str, of length n_trials
        `groups` is empty where there are none.
    channels : tuple of str
    kinds : tuple of str
        What there is of each channel: "amplitude", frequencies, bands.
    n_points : int
        Points a bin. Columns are by channel, then kind, then point.
    centres : tuple of float, of length n_bins
        Seconds of the middle of each bin.
    """

    labels: tuple[str, ...]
    groups: tuple[str, ...]
    channels: tuple[str, ...]
    kinds: tuple[str, ...]
    n_points: int
    centres: tuple[float, ...]


def open_described(folder: str | Path, name: str = "features.json") -> Described:
    """Open what the features of a job are of."""
    (about,) = load(folder, name)
    return build(Described, about)


def open_features(folder: str | Path) -> tuple[Singles, Described]:
    """Open the features of a job: float32 of shape (n_bins, n_trials, n_columns), memory-mapped, and what they are."""
    (values,) = load(folder, "features.npy")
    return values, open_described(folder)
