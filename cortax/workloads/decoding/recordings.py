"""Trials of recordings and epochs as MNE reads them, EEGLAB, BrainVision, EDF, BDF and FIF; and its montages."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from cortax.data.files import ends_with, opened
from cortax.errors import InputError, StudyError, choices
from cortax.learning.arrays import Floats

__all__ = ["montage_positions", "read_recording"]

# Formats that say of all channels that they are EEG: there, names tell of eyes, muscles, hearts and breath.
_NO_BRAIN = re.compile(r"[HV]?E(O|M|C|K)G|RESP|GSR|EDA|PPG|PULSE|TEMP|STATUS|TRIG", re.IGNORECASE)
# What breaks a recording, as BrainVision and EEGLAB call it. MNE leaves out trials that touch what it calls bad, and
# knows that by the begin of the description, which its own export to BrainVision puts "Comment/" before.
_BREAKS = re.compile(r"(boundary|New Segment/.*|(?:Comment/)?(?=bad|edge))", re.IGNORECASE)


def read_recording(
    path: Path, files: Sequence[Path], *, label: str, group: str | None, window: Sequence[float] | None
) -> dict[str, Any]:
    """Read trials by MNE.

    Parameters
    ----------
    path : Path
    files : sequence of Path
        What may be read: `path` and its companions, of which the caller knows digests.
    label, group, window
        See `read_trials`.

    Returns
    -------
    dict
        The attributes of `Trials`. Signals are in volts or teslas.

    Raises
    ------
    InputError
        MNE is not installed or cannot read the file, signals are in another file than `files`, there is no event, or no
        such column of the metadata.
    """
    try:
        import mne
    except ImportError as error:
        raise InputError(f"{path}: needs MNE; install it: pip install 'cortax[eeg]'") from error
    with opened(path, "recording"), warnings.catch_warnings(), mne.use_log_level("ERROR"):
        # What MNE warns of (names of files, breaks) is looked at here, or no fault of the data.
        warnings.simplefilter("ignore")
        _check_companions(path, files)
        epochs, unfit = _open(mne, path, files, window)
        epochs.pick("data", exclude=[])
    # MNE says of every event why it is no trial; an event that is of no condition was not asked for.
    reasons = Counter(reason for log in epochs.drop_log for reason in log if reason != "IGNORED")
    places = np.array([channel["loc"][:3] for channel in epochs.info["chs"]], dtype=np.float64)
    places[~places.any(axis=1)] = np.nan
    return {
        "data": np.asarray(epochs.get_data(copy=False), dtype=np.float64),
        "labels": _labels(path, epochs, label),
        "groups": _column(path, epochs, "group", group) if group else (),
        "channels": tuple(epochs.ch_names),
        "rate": float(epochs.info["sfreq"]),
        "start": float(epochs.tmin),
        "dropped": dict(reasons),
        "positions": () if np.isnan(places).all() else tuple(map(tuple, places.tolist())),
        "unfit": unfit | dict.fromkeys(epochs.info["bads"], "marked bad in the file"),
    }


def montage_positions(name: str) -> dict[str, Floats]:
    """Return (x, y, z) of electrodes, metres in the frame of the head, of one of MNE's montages.

    Raises StudyError: MNE is not installed, or there is none such.
    """
    try:
        import mne
    except ImportError as error:
        raise StudyError("report.montage needs MNE; install it: pip install 'cortax[eeg]'") from error
    known = mne.channels.get_builtin_montages()
    if name not in known:
        raise StudyError(f"report.montage: {choices(name, known)}")
    with mne.use_log_level("ERROR"):
        info = mne.create_info(mne.channels.make_standard_montage(name).ch_names, 1.0, "eeg")
        info.set_montage(name)
    return {channel["ch_name"]: np.array(channel["loc"][:3]) for channel in info["chs"]}


def _labels(path: Path, epochs: Any, label: str) -> tuple[str, ...]:
    columns = [] if epochs.metadata is None else list(epochs.metadata)
    if label != "labels" or label in columns:
        return _column(path, epochs, "label", label)
    names = {code: name for name, code in epochs.event_id.items()}
    return tuple(names[code] for code in epochs.events[:, 2])


def _column(path: Path, epochs: Any, key: str, name: str) -> tuple[str, ...]:
    columns = [] if epochs.metadata is None else list(epochs.metadata)
    if name not in columns:
        why = choices(name, columns) if columns else f"got {name!r}, and the file has no metadata"
        raise InputError(f"{path}: epochs.{key}: no such column of the metadata: {why}")
    return tuple(str(value) for value in epochs.metadata[name])


def _check_companions(path: Path, files: Sequence[Path]) -> None:
    """Refuse an EEGLAB file whose signals are in a file of another name: nothing would notice that they change."""
    if not ends_with(path, ".set"):
        return
    try:
        content = loadmat(path, simplify_cells=True, variable_names=("EEG", "data"))
    except NotImplementedError:
        return  # MATLAB's 7.3 format, which keeps signals in the file itself
    data = content["EEG"].get("data") if "EEG" in content else content.get("data")
    if isinstance(data, str):
        _check_file(path, path.parent / Path(data).name, files)


def _check_file(path: Path, other: Path, files: Sequence[Path]) -> None:
    if other.exists() and other.resolve() not in {file.resolve() for file in files}:
        raise InputError(
            f"{path}: its signals are in {other.name!r}, which its name does not tell; call both files alike"
        )


def _open(mne: Any, path: Path, files: Sequence[Path], window: Sequence[float] | None) -> tuple[Any, dict[str, str]]:
    """Open epochs, or cut a recording around its annotations; return them and the channels that are unfit."""
    if ends_with(path, "epo.fif"):
        return mne.read_epochs(path, preload=True), {}
    if ends_with(path, ".set") and _has_epochs(mne, path):
        epochs = mne.read_epochs_eeglab(path)
        return epochs, _unfit_names(epochs)
    readers: dict[str, Callable[..., Any]] = {
        ".fif": mne.io.read_raw_fif,
        ".vhdr": mne.io.read_raw_brainvision,
        ".edf": mne.io.read_raw_edf,
        ".bdf": mne.io.read_raw_bdf,
        ".set": mne.io.read_raw_eeglab,
    }
    raw = readers[path.suffix.lower()](path, preload=True)
    for other in raw.filenames:
        _check_file(path, Path(other), files)
    if window is None:
        raise InputError(f"{path}: a recording is cut around its events; say epochs.window, in seconds")
    unfit = {} if ends_with(path, ".fif") else _unfit_names(raw)
    if ends_with(path, ".edf", ".bdf"):
        unfit |= _unfit_signals(raw)
    return _cut(mne, path, raw, window), unfit


def _has_epochs(mne: Any, path: Path) -> bool:
    """Epochs and recordings of EEGLAB have the same ending, and MNE says only by failing which it is."""
    try:
        mne.io.read_raw_eeglab(path, preload=False)
    except TypeError:
        return True
    return False


def _cut(mne: Any, path: Path, raw: Any, window: Sequence[float]) -> Any:
    names = dict.fromkeys(raw.annotations.description)
    raw.annotations.rename(
        {
            name: name[found.end() :] if not found[0] or found[0].lower() == "comment/" else "BAD boundary"
            for name in names
            if (found := _BREAKS.match(name))
        }
    )
    events, event_id = mne.events_from_annotations(raw)
    if not len(events):
        stim = [raw.ch_names[place] for place in mne.pick_types(raw.info, meg=False, stim=True)]
        also = f"; triggers of {stim} become annotations by mne.annotations_from_events" if stim else ""
        raise InputError(f"{path}: has no annotations, and so no events to cut trials around{also}")
    order = np.argsort(events[:, 0], kind="stable")
    if len(same := np.flatnonzero(np.diff(events[order, 0]) == 0)):
        called = {code: name for name, code in event_id.items()}
        first, second = (called[events[order[place], 2]] for place in (same[0], same[0] + 1))
        time = (events[order[same[0]], 0] - raw.first_samp) / raw.info["sfreq"]
        raise InputError(f"{path}: {first!r} and {second!r} are both at {time:g} s: keep the one that labels the trial")
    return mne.Epochs(raw, events, event_id, window[0], window[1], baseline=None, preload=True)


def _unfit_names(recorded: Any) -> dict[str, str]:
    names = [name for name, kind in zip(recorded.ch_names, recorded.get_channel_types(), strict=True) if kind == "eeg"]
    return {name: "by its name no signal of the brain" for name in names if _NO_BRAIN.match(name)}


def _unfit_signals(raw: Any) -> dict[str, str]:
    """Channels of EDF and BDF that MNE interpolates to the highest rate, and those without a unit, taken as volts."""
    extras = raw._raw_extras[0]
    n_samples = dict(zip(extras["ch_names"], np.asarray(extras["n_samps"])[extras["sel"]].tolist(), strict=True))
    most = max(n_samples.values())
    unfit = {
        name: f"recorded at {raw.info['sfreq'] * n / most:g} Hz, and the file at {raw.info['sfreq']:g} Hz"
        for name, n in n_samples.items()
        if n < most
    }
    units = {name: unit for name, unit in raw._orig_units.items() if unit not in ("µV", "uV", "mV", "V")}
    return {name: f"in the unit {unit!r}, which is no voltage" for name, unit in units.items()} | unfit
