"""Trials as they are read from files: NumPy archives, aeon's `.ts`, and what MNE reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cortax.data.files import ends_with, opened
from cortax.errors import InputError, choices
from cortax.learning.arrays import Floats
from cortax.study.section import relative_paths

__all__ = ["Trials", "read_trials", "trial_digests", "trial_files"]

_MNE = (".fif", ".set", ".vhdr", ".edf", ".bdf")
# Where a BrainVision header names the files of signals and markers; $b is its own name.
_NAMED = re.compile(rb"^(?:DataFile|MarkerFile)=(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Trials:
    """Signals of one subject in one phase.

    Attributes
    ----------
    data : float64 array of shape (n_trials, n_channels, n_times)
        In the units of the file; MNE's are volts and teslas.
    labels : tuple of str, of length n_trials
    groups : tuple of str, of length n_trials
        Run or block; empty where nothing was asked for.
    channels : tuple of str, of length n_channels
    rate : float
        Samples a second.
    start : float
        Seconds of the first sample, relative to the event.
    dropped : mapping of reason to int
        Trials that the file has and that are not here.
    positions : tuple of (x, y, z), of length n_channels
        Metres in the frame of the head; NaN where the file does not say it. Empty where it says none.
    unfit : mapping of channel to str
        Why a channel is not to be decoded unless its user says so: for example, that it is marked bad.
    """

    data: Floats
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    channels: tuple[str, ...]
    rate: float
    start: float
    dropped: Mapping[str, int] = field(default_factory=dict)
    positions: tuple[tuple[float, ...], ...] = ()
    unfit: Mapping[str, str] = field(default_factory=dict)

    @property
    def times(self) -> Floats:
        """Seconds of every sample, of shape (n_times,)."""
        return self.start + np.arange(self.data.shape[2]) / self.rate


def read_trials(
    path: Path | str,
    *,
    label: str = "labels",
    group: str | None = None,
    rate: float | None = None,
    start: float = 0.0,
    window: Sequence[float] | None = None,
) -> Trials:
    """Read the trials of a file.

    Parameters
    ----------
    path : path
        `.npz` with `data` of shape (n_trials, n_channels, n_times), the array that `label` names, `channels`, and
        `times` (s) or `rate` (Hz) and perhaps `start` (s). `.ts` of aeon, which says neither channels nor rate. With
        the extra "eeg" (MNE): epochs in `-epo.fif` and `.set`; recordings in `.fif`, `.set`, `.vhdr` (BrainVision),
        `.edf` and `.bdf`, cut around their annotations.
    label, group : str
        Name of an array of an `.npz`, or of a column of MNE's metadata. If `label` is "labels" and there is no such
        column, MNE's labels are the descriptions of events.
    rate, start : float
        Hz, and seconds of the first sample, where an `.npz` or `.ts` file does not say them.
    window : two floats
        Seconds around the events of a recording: it cannot be cut into trials without.

    Returns
    -------
    Trials
        As the file has them: NaN stays.

    Raises
    ------
    InputError
        Missing, unreadable, of another format, MNE is not installed, shapes disagree, or there is no rate, no label or
        no trial; the message names the file.
    """
    path = Path(path)
    if ends_with(path, ".npz"):
        trials = _read_npz(path, label, group, rate, start)
    elif ends_with(path, ".ts"):
        trials = _read_ts(path, group, rate, start)
    elif ends_with(path, *_MNE):
        from cortax.workloads.decoding.recordings import read_recording

        trials = Trials(**read_recording(path, trial_files(path), label=label, group=group, window=window))
    else:
        raise InputError(f"{path}: format of trials: {choices(path.suffix, ('.npz', '.ts', *_MNE))}")
    return _checked(path, trials)


def trial_files(path: Path | str) -> list[Path]:
    """Return the files that trials are read from: the one that is named, and those that its format keeps beside it.

    BrainVision's header names two others, EEGLAB's `.fdt` has the name of its `.set`, and a `.fif` above 2 GB goes on
    in `-1.fif` or `_split-02`. Only files that are there are returned, but for `path`.
    """
    path = Path(path)
    others: list[Path] = []
    if not path.is_file():
        return [path]
    if ends_with(path, ".vhdr"):
        names = [name.decode("utf-8", "replace") for name in _NAMED.findall(path.read_bytes())]
        others = [path.parent / Path(name.replace("$b", path.stem)).name for name in names]
    elif ends_with(path, ".set"):
        others = [path.with_suffix(".fdt")]
    elif ends_with(path, ".fif"):
        first = re.compile(re.escape(path.stem).replace(r"_split\-01", r"_split\-\d+") + r"(-\d+)?\.fif")
        others = sorted(other for other in path.parent.glob("*.fif") if first.fullmatch(other.name) and other != path)
    return [path, *(other for other in others if other.is_file())]


def trial_digests(root: Path, files: Iterable[str], digest_of: Callable[[Path], str]) -> dict[str, str]:
    """Return the digest of every file that trials of these are read from, by its path in the project."""
    parts = [part for file in files for part in trial_files(root / file)]
    return {relative_paths(str(part), root): digest_of(part) for part in parts}


def _checked(path: Path, trials: Trials) -> Trials:
    if trials.data.ndim != 3 or 0 in trials.data.shape:
        raise InputError(f"{path}: trials must be of shape (n_trials, n_channels, n_times); got {trials.data.shape}")
    n_trials, n_channels, _ = trials.data.shape
    for name, values, n in (
        ("labels", trials.labels, n_trials),
        ("groups", trials.groups or trials.labels, n_trials),
        ("channels", trials.channels, n_channels),
    ):
        if len(values) != n:
            raise InputError(f"{path}: {len(values)} {name}, but data of shape {trials.data.shape}")
    if twice := sorted(name for name, n in Counter(trials.channels).items() if n > 1):
        raise InputError(f"{path}: channels that occur more than once: {twice[:5]}")
    if not trials.rate > 0:
        raise InputError(f"{path}: the sampling rate must be above 0 Hz; got {trials.rate}")
    return trials


def _read_npz(path: Path, label: str, group: str | None, rate: float | None, start: float) -> Trials:
    with opened(path, "NumPy archive"), np.load(path, allow_pickle=False) as stored:
        content = dict(stored)
    for name in ("data", label, *([group] if group else [])):
        if name not in content:
            raise InputError(f"{path}: no such array: {choices(name, content)}")
    data = _numbers(path, content["data"])
    if data.ndim != 3:
        raise InputError(f"{path}: data must be of shape (n_trials, n_channels, n_times); got {data.shape}")
    if "times" in content:
        rate, start = _rate_of(path, _numbers(path, content["times"]), data.shape[2])
    else:
        rate = float(content["rate"]) if "rate" in content else rate
        start = float(content["start"]) if "start" in content else start
    channels = content.get("channels", _numbered(data.shape[1]))
    return Trials(
        data,
        _texts(content[label]),
        _texts(content[group]) if group else (),
        _texts(channels),
        _known_rate(path, rate),
        start,
    )


def _numbers(path: Path, values: Any) -> Floats:
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path}: signals and times must be real numbers; got {values.dtype}")
    return np.asarray(values, dtype=np.float64)


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(str(value) for value in np.asarray(values).tolist())


def _numbered(n_channels: int) -> Any:
    return np.array([f"channel {number}" for number in range(1, n_channels + 1)])


def _known_rate(path: Path, rate: float | None) -> float:
    if rate is None:
        raise InputError(f"{path}: does not say its sampling rate; say epochs.file_rate, in Hz")
    return float(rate)


def _rate_of(path: Path, times: Floats, n_times: int) -> tuple[float, float]:
    steps = np.diff(times)
    if times.shape != (n_times,) or n_times < 2 or not np.allclose(steps, steps.mean(), rtol=1e-3) or steps[0] <= 0:
        raise InputError(f"{path}: times must be {n_times} evenly spaced seconds that rise; got shape {times.shape}")
    return float(1 / steps.mean()), float(times[0])


def _read_ts(path: Path, group: str | None, rate: float | None, start: float) -> Trials:
    """Read what aeon and sktime write: `@` lines, then a line a trial, channels apart by `:`, its label last."""
    if group:
        raise InputError(f"{path}: .ts files have no groups; epochs.group = {group!r} cannot be read")
    with opened(path, "time series"):
        # Comments are in any encoding; numbers and labels are not.
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    begin = next((n for n, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if begin is None:
        raise InputError(f"{path}: no @data line: not a .ts file")
    rows, labels = [], []
    for number, line in enumerate(lines[begin + 1 :], begin + 2):
        if line.strip():
            *channels, label = line.strip().split(":")
            rows.append(_parse_channels(path, number, channels))
            labels.append(label.strip())
    shapes = {np.shape(row) for row in rows}
    if len(shapes) != 1:
        raise InputError(f"{path}: {len(rows)} trials of shapes {sorted(shapes)[:4]}; all must have one shape")
    data = np.array(rows)
    return Trials(data, tuple(labels), (), _texts(_numbered(data.shape[1])), _known_rate(path, rate), start)


def _parse_channels(path: Path, number: int, channels: Sequence[str]) -> Floats:
    try:
        return np.array([[float(value) for value in channel.replace("?", "nan").split(",")] for channel in channels])
    except ValueError as error:
        raise InputError(
            f"{path}: line {number}: channels of numbers, all of one length, then a label: {error}"
        ) from error
