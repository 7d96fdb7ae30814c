"""Activation patterns on the head, by MNE, where it is known where electrodes are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortax.learning.arrays import Floats
from cortax.report.figures import HEAT, new_figure
from cortax.workloads.decoding.epochs import open_trials
from cortax.workloads.decoding.recordings import montage_positions
from cortax.workloads.decoding.report.material import Material

__all__ = ["draw_heads", "electrode_positions"]

# Fewer electrodes make no picture of a head.
FEWEST = 4
# Metres from a line, root of the sum of squares, that are none.
_LINE = 1e-3
# More bins are drawn at evenly spaced ones.
MOST_HEADS, N_ACROSS = 20, 10


def electrode_positions(material: Material, channels: Sequence[str]) -> dict[str, Floats]:
    """Return where electrodes are, (x, y, z) in metres, by channel: of the first subject whose file says it.

    Where no file does, of the montage that the study names. Empty where fewer than `FEWEST` are known, two are in one
    place or all are on one line: these make no picture.
    """
    known: Mapping[str, Floats] = {}
    for job in material.made.of("epochs"):
        trials = open_trials(job.folder, job.setup["options"]["train"])
        if trials.positions and tuple(trials.channels) == tuple(channels):
            known = dict(zip(channels, np.array(trials.positions, dtype=np.float64), strict=True))
            break
    if not known and material.montage:
        by_name = {name.lower(): place for name, place in montage_positions(material.montage).items()}
        known = {name: by_name[name.lower()] for name in channels if name.lower() in by_name}
    found = {name: place for name, place in known.items() if np.isfinite(place).all()}
    return found if len(found) >= FEWEST and _is_area(np.array(list(found.values()))) else {}


def _is_area(places: Floats) -> bool:
    """Whether places, (n, 3), are apart, and not on one line as seen from above."""
    across = np.linalg.svd(places[:, :2] - places[:, :2].mean(axis=0), compute_uv=False)[1]
    return len(np.unique(np.round(places, 4), axis=0)) == len(places) and across > _LINE


def draw_heads(
    strength: Floats, channels: Sequence[str], positions: Mapping[str, Floats], centres: Sequence[float]
) -> Any:
    """Draw a head for each bin.

    Parameters
    ----------
    strength : float64 array of shape (n_channels, n_bins)
    channels : sequence of str
    positions : mapping of channel to (x, y, z)
        Metres in the frame of the head; channels that are not in it are not drawn.
    centres : sequence of float
        Seconds of each bin.

    Returns
    -------
    matplotlib Figure
    """
    import mne

    rows = [number for number, name in enumerate(channels) if name in positions]
    names = [channels[row] for row in rows]
    info = mne.create_info(names, 1.0, "eeg")
    with mne.use_log_level("ERROR"):
        info.set_montage(mne.channels.make_dig_montage({name: positions[name] for name in names}, coord_frame="head"))
    n_bins = len(centres)
    bins = np.unique(np.linspace(0, n_bins - 1, min(n_bins, MOST_HEADS)).round().astype(int))
    across = min(N_ACROSS, len(bins))
    down = -(-len(bins) // across)
    figure = new_figure(max(3.0, 0.95 * across + 0.8), 1.15 * down + 0.2)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    limits = float(strength[rows].min()), float(strength[rows].max())
    image: Any = None
    for axes, place in zip(panels, bins, strict=False):
        how = {"cmap": HEAT, "vlim": limits, "contours": 0, "show": False}
        image, _ = mne.viz.plot_topomap(strength[rows, place], info, axes=axes, **how)
        axes.set_title(f"{centres[place]:.3g} s", fontsize=8)
    for axes in panels[len(bins) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=list(panels), label="strength", shrink=0.8)
    return figure
