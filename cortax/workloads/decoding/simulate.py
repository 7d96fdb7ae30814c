"""A SIMULATED group: EEG-like epochs of several people in two phases, written to disk as NumPy archives.

Three classes have a topography of their own in each of two stages after the event, an early one that lasts and is the
same in both phases, and a late one that only the first phase has. All else is noise that is correlated over time and
over channels. In the second phase the early stage is weaker and comes 50 ms later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cortax.learning.arrays import Floats
from cortax.learning.search.spaces import content_seed
from cortax.store import replacing

__all__ = ["GroupShape", "simulate_group", "simulate_phase"]

PHASES = ("encoding", "retrieval")
CLASSES = ("face", "place", "word")


@dataclass(frozen=True)
class GroupShape:
    """How much is simulated.

    Attributes
    ----------
    n_subjects, n_trials, n_channels : int
        Trials of each phase.
    rate : float
        Hz.
    start, end : float
        Seconds around the event.
    strength : float
        Of the early stage, in standard deviations of the noise of a channel. 0: nothing to find.
    """

    n_subjects: int = 18
    n_trials: int = 60
    n_channels: int = 16
    rate: float = 100.0
    start: float = -0.2
    end: float = 1.0
    strength: float = 0.5


def simulate_group(folder: Path, shape: GroupShape, *, seed: int = 0) -> list[str]:
    """Write the files of every subject and phase that are not there; return the subjects.

    Parameters
    ----------
    folder : Path
        Made if it is not there. Files are `SUBJECT_PHASE.npz`.
    shape : GroupShape
    seed : int
        A file depends on it, the shape, the subject and the phase alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    subjects = [f"sub-{number:02d}" for number in range(1, shape.n_subjects + 1)]
    for subject in subjects:
        for phase in PHASES:
            path = folder / f"{subject}_{phase}.npz"
            if not path.exists():
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.savez(file, allow_pickle=False, **simulate_phase(shape, subject, phase, seed=seed))
    return subjects


def simulate_phase(shape: GroupShape, subject: str, phase: str, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the arrays of one subject and phase: data (trials x channels x times), labels, times, channels."""
    random = np.random.default_rng(content_seed("group", seed, subject, phase))
    times = np.arange(shape.start, shape.end, 1 / shape.rate)
    labels = np.arange(shape.n_trials) % len(CLASSES)
    random.shuffle(labels)
    data = _noise(random, (shape.n_trials, shape.n_channels, len(times)))
    # Topographies are the person's: the same in both phases.
    own = np.random.default_rng(content_seed("topographies", seed, subject))
    early, late = own.normal(size=(2, len(CLASSES), shape.n_channels))
    delay, share = (0.0, 1.0) if phase == PHASES[0] else (0.05, 0.7)
    data += shape.strength * share * early[labels][:, :, None] * _course(times, 0.1 + delay, 0.6 + delay)
    if phase == PHASES[0]:
        data += shape.strength * late[labels][:, :, None] * _course(times, 0.5, 0.9)
    return {
        "data": data.astype(np.float32),
        "labels": np.array(CLASSES)[labels],
        "times": times,
        "channels": np.array([f"E{number + 1}" for number in range(shape.n_channels)]),
    }


def _noise(random: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """Noise of variance 1, correlated over time (0.8 from sample to sample) and over channels (0.5)."""
    n_trials, _, n_times = shape
    white = np.sqrt(0.5) * (random.normal(size=shape) + random.normal(size=(n_trials, 1, n_times)))
    made = np.empty(shape)
    made[:, :, 0] = white[:, :, 0]
    for time in range(1, n_times):
        made[:, :, time] = 0.8 * made[:, :, time - 1] + 0.6 * white[:, :, time]
    return made


def _course(times: Floats, start: float, end: float) -> Floats:
    """A half sine from start to end."""
    inside = (times > start) & (times < end)
    return np.where(inside, np.sin(np.pi * (times - start) / (end - start)), 0.0)
