"""Features of trials as the options of a `features` job say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortax.workloads.decoding.described import Described
from cortax.workloads.decoding.features import FeatureOptions, Transform, make_transform
from cortax.workloads.decoding.trials import Trials

__all__ = ["described", "transform_of"]


def transform_of(options: Mapping[str, Any], trials: Trials) -> Transform:
    """Return what makes features of the trials; see `make_transform` for what it raises.

    `options`: those of the method `features`.
    """
    window, bands = options["window"], options["bands"]
    asked = FeatureOptions(
        kind=options["kind"],
        n_bins=options["n_bins"],
        window=None if window is None else (window[0], window[1]),
        points=options["points"],
        frequencies=tuple(options["frequencies"] or ()),
        n_cycles=options["n_cycles"],
        bands=None if bands is None else {name: (band[0], band[1]) for name, band in bands.items()},
    )
    return make_transform(asked, times=trials.times, rate=trials.rate, where=f"features.{options['features']}")


def described(trials: Trials, transform: Transform) -> Described:
    """Return what the features of the trials are of."""
    centres = tuple(float(time) for time in transform.layout.centres)
    return Described(trials.labels, trials.groups, trials.channels, transform.names, transform.n_points, centres)
