"""Trials made ready for decoding: classes, channels, rate, baseline and window as a study has them, and checked."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy import signal

from cortax.errors import InputError, choices
from cortax.learning.arrays import Bools
from cortax.store import build, load, save
from cortax.workloads.decoding.trials import Trials

__all__ = ["Cut", "check_phases", "make_epochs", "open_trials", "save_trials"]

# A time of an interval may miss the sampled ones by so much of a sample.
_ROUNDING = 1e-6
# Channels of two phases whose signals differ by more are in different units: millivolts are a thousand microvolts.
_MOST_RATIO = 100.0
_FEWEST_OF_CLASS, _FEWEST_NUMBERS = 3, 3


@dataclass(frozen=True)
class Cut:
    """What is taken of trials.

    Attributes
    ----------
    channels, exclude : tuples of str
        Patterns of names, as shells have them; the order is the file's.
    classes : tuple of str, optional
        Trials of other labels are left out, and counted.
    rate : float, optional
        Hz, to which signals are resampled by a polyphase filter (`scipy.signal.resample_poly`).
    baseline, window : two floats, optional
        Seconds, both ends included. The mean of the baseline is taken off every trial and channel.
    """

    channels: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    rate: float | None = None
    baseline: Sequence[float] | None = None
    window: Sequence[float] | None = None


def make_epochs(trials: Trials, cut: Cut, where: str) -> Trials:
    """Take what a study asks for: classes, channels, rate, baseline, window, in this order.

    Parameters
    ----------
    trials : Trials
    cut : Cut
    where : str
        Begin of messages: the file.

    Returns
    -------
    Trials
        Finite, and no channel flat. Trials of other classes are counted in `dropped`.

    Raises
    ------
    InputError
        A pattern fits no channel, all channels are asked for and one is unfit, a class has no trial, a time is outside
        the trials, the rate is above that of the file, values are not finite, or a channel is flat in a trial; the
        message names channel and trial.
    """
    chosen = _pick_channels(_pick_classes(trials, cut.classes, where), cut, where)
    _check_signals(chosen, where)
    if cut.rate is not None and cut.rate != chosen.rate:
        chosen = _resampled(chosen, cut.rate, where)
    if cut.baseline is not None:
        inside = _between(chosen, cut.baseline, f"{where}: epochs.baseline")
        chosen = replace(chosen, data=chosen.data - chosen.data[:, :, inside].mean(axis=2, keepdims=True))
    if cut.window is not None:
        inside = _between(chosen, cut.window, f"{where}: epochs.window")
        chosen = replace(chosen, data=chosen.data[:, :, inside], start=float(chosen.times[inside][0]))
    return chosen


def _pick_classes(trials: Trials, classes: Sequence[str] | None, where: str) -> Trials:
    if classes is None:
        return trials
    if absent := [name for name in classes if name not in trials.labels]:
        raise InputError(f"{where}: epochs.classes: no trial is labelled so: {choices(absent[0], set(trials.labels))}")
    kept = [place for place, label in enumerate(trials.labels) if label in classes]
    others = Counter(label for label in trials.labels if label not in classes)
    return replace(
        trials,
        data=trials.data[kept],
        labels=tuple(trials.labels[place] for place in kept),
        groups=tuple(trials.groups[place] for place in kept) if trials.groups else (),
        dropped={**trials.dropped, **{f"labelled {label!r}": n for label, n in sorted(others.items())}},
    )


def _pick_channels(trials: Trials, cut: Cut, where: str) -> Trials:
    for key, patterns in (("channels", cut.channels), ("exclude", cut.exclude)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in trials.channels):
                raise InputError(f"{where}: epochs.{key}: nothing matches: {choices(pattern, trials.channels)}")
    wanted = [name for name in trials.channels if any(fnmatchcase(name, pattern) for pattern in cut.channels)]
    names = [name for name in wanted if not any(fnmatchcase(name, pattern) for pattern in cut.exclude)]
    if not names:
        raise InputError(f"{where}: epochs.exclude leaves no channel of {list(trials.channels)[:8]}")
    # A pattern of the study's own is a choice; that of all channels is none.
    if cut.channels == ("*",) and (unfit := {name: trials.unfit[name] for name in names if name in trials.unfit}):
        some = ", ".join(f"{name!r} is {why}" for name, why in list(unfit.items())[:5])
        raise InputError(
            f"{where}: channels that are not to be decoded without a word: {some}{', ...' if len(unfit) > 5 else ''}. "
            "Leave them out by epochs.exclude, mend the file, or name what is wanted in epochs.channels"
        )
    places = [trials.channels.index(name) for name in names]
    positions = tuple(trials.positions[place] for place in places) if trials.positions else ()
    data = np.ascontiguousarray(trials.data[:, places])
    return replace(trials, data=data, channels=tuple(names), positions=positions)


def _check_signals(trials: Trials, where: str) -> None:
    finite: Bools = np.asarray(np.isfinite(trials.data).all(axis=2))
    flat: Bools = np.asarray(np.ptp(np.where(finite[:, :, None], trials.data, 0.0), axis=2) == 0)
    for wrong, what in ((~finite, "values that are not finite"), (flat & finite, "one value at all times")):
        if wrong.any():
            trial, channel = np.argwhere(wrong)[0]
            raise InputError(
                f"{where}: channel {trials.channels[channel]!r} has {what} in trial {trial + 1}; so have "
                f"{_listed(trials, wrong)}. Leave channels out by epochs.exclude, or trials before they are written"
            )


def _listed(trials: Trials, wrong: Bools) -> str:
    counts = {name: int(n) for name, n in zip(trials.channels, wrong.sum(axis=0), strict=True) if n}
    some = ", ".join(f"{name!r} in {n} trials" for name, n in list(counts.items())[:5])
    return some + (f" and {len(counts) - 5} more channels" if len(counts) > 5 else "")


def _resampled(trials: Trials, rate: float, where: str) -> Trials:
    if rate > trials.rate:
        raise InputError(f"{where}: epochs.rate = {rate:g} Hz is above {trials.rate:g} Hz, the rate of the file")
    ratio = Fraction(rate / trials.rate).limit_denominator(1000)
    # Trials begin and end anywhere: lines through their ends are taken off, so that no step is filtered.
    data = signal.resample_poly(trials.data, ratio.numerator, ratio.denominator, axis=2, padtype="line")
    return replace(trials, data=data, rate=trials.rate * ratio.numerator / ratio.denominator)


def _between(trials: Trials, interval: Sequence[float], where: str) -> Bools:
    """Return which samples lie between two times, both included."""
    times, slack = trials.times, _ROUNDING / trials.rate
    # The last sample stands for the time up to the next.
    if interval[0] < times[0] - slack or interval[1] > times[-1] + 1 / trials.rate + slack:
        raise InputError(
            f"{where} = {list(interval)}: outside the trials, which are from {times[0]:g} to {times[-1]:g} s"
        )
    inside = (times >= interval[0] - slack) & (times <= interval[1] + slack)
    if not inside.any():
        raise InputError(f"{where} = {list(interval)}: no sample is between; they are {1 / trials.rate:g} s apart")
    return np.asarray(inside)


def check_labels(labels: Sequence[str], where: str, *, continuous: bool) -> None:
    """Make sure that labels are of the kind that decoders are for.

    Parameters
    ----------
    labels : sequence of str, of length n_trials
    where : str
        Begin of messages: the file.
    continuous : bool

    Raises
    ------
    InputError
        Continuous labels are not all finite numbers, or only two different ones; or classes are numbers of which most
        trials have their own.
    """
    numbers = [_number(label) for label in labels]
    n_different = len(set(labels))
    if not continuous:
        # With so few trials of each there are no folds of classes anyway.
        if None not in numbers and n_different > len(labels) / _FEWEST_OF_CLASS:
            raise InputError(
                f"{where}: labels are {n_different} different numbers in {len(labels)} trials, which are no classes; "
                "decoders of kind 'ridge' are for continuous labels"
            )
        return
    if None in numbers:
        trial = numbers.index(None)
        raise InputError(
            f"{where}: label {labels[trial]!r} of trial {trial + 1} is not a finite number; decoders of kind 'ridge' "
            "are for continuous labels, 'svm', 'logistic', 'lda' and 'sklearn' for classes"
        )
    if n_different < _FEWEST_NUMBERS:
        raise InputError(
            f"{where}: {n_different} different labels: decoders of kind 'ridge' are for continuous ones; 'svm', "
            "'logistic', 'lda' and 'sklearn' tell two classes"
        )


def _number(label: str) -> float | None:
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def check_phases(phases: Mapping[str, Trials], train: str, where: str, *, continuous: bool = False) -> None:
    """Make sure that what is trained in one phase can be tested in all others, and that no trial is in two.

    Parameters
    ----------
    phases : mapping of phase to Trials
        After `make_epochs`.
    train : str
        The phase that decoders are trained in.
    where : str
        Begin of messages: the subject.
    continuous : bool
        Whether labels are numbers, which phases need not share.

    Raises
    ------
    InputError
        Phases differ in channels, rate, times, labels or units, or the same signal is a trial twice; the message names
        both.
    """
    first = phases[train]
    for phase, trials in phases.items():
        for name, a, b in (
            ("channels", first.channels, trials.channels),
            ("sampling rates", round(first.rate, 6), round(trials.rate, 6)),
            ("times of the first sample", round(first.start, 6), round(trials.start, 6)),
            ("numbers of samples", first.data.shape[2], trials.data.shape[2]),
            ("labels", *(((), ()) if continuous else (sorted(set(first.labels)), sorted(set(trials.labels))))),
        ):
            if a != b:
                raise InputError(f"{where}: phases {train!r} and {phase!r} differ in {name}: {a} and {b}")
        _check_scale(first, trials, f"{where}: phases {train!r} and {phase!r}")
    seen: dict[bytes, tuple[str, int]] = {}
    for phase, trials in phases.items():
        for number, trial in enumerate(trials.data, 1):
            key = hashlib.blake2b(np.ascontiguousarray(trial).tobytes(), digest_size=16).digest()
            if key in seen:
                other, n = seen[key]
                raise InputError(
                    f"{where}: trial {number} of phase {phase!r} is the same signal as trial {n} of phase {other!r}: "
                    "decoders would be tested on what they were trained on"
                )
            seen[key] = phase, number


def _check_scale(first: Trials, second: Trials, where: str) -> None:
    """Refuse signals in volts beside microvolts: decoders know one scale."""
    spreads = [np.std(trials.data, axis=(0, 2)) for trials in (first, second)]
    ratio = float(np.median(spreads[1] / spreads[0]))
    if not 1 / _MOST_RATIO < ratio < _MOST_RATIO:
        raise InputError(f"{where} differ in units: signals of the second are {ratio:.3g} times as large")


def save_trials(folder: str | Path, phase: str, trials: Trials) -> list[str]:
    """Write the trials of a phase into a folder; return the names of the files."""
    about = {
        "labels": trials.labels,
        "groups": trials.groups,
        "channels": trials.channels,
        "rate": trials.rate,
        "start": trials.start,
        "dropped": dict(trials.dropped),
        "positions": trials.positions,
    }
    return save(folder, {f"{phase}.npy": trials.data, f"{phase}.json": about})


def open_trials(folder: str | Path, phase: str) -> Trials:
    """Open what `save_trials` wrote; `data` is memory-mapped."""
    data, about = load(folder, f"{phase}.npy", f"{phase}.json")
    return build(Trials, {"data": data}, about)
