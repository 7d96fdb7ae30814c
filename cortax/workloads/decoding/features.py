"""What decoders look at in each bin of time: amplitudes, Morlet power at some points, or power in bands.

Morlet wavelets are those of MNE (`mne.time_frequency.morlet`, zero mean): a complex exponential in a Gaussian of
`n_cycles / (2 pi f)` seconds, of norm sqrt(2). Power is wanted at few points, so that convolution is one product of the
signals with the wavelets around these points; beyond the epoch signals count as 0, as in `tfr_array_morlet`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from cortax.errors import StudyError
from cortax.learning.arrays import Floats, Ints, Singles

__all__ = ["FeatureOptions", "Layout", "Transform", "make_transform", "morlet_wavelet"]

# A wavelet ends where its Gaussian is that many standard deviations from the middle.
_SPREADS = 5.0


@dataclass(frozen=True)
class FeatureOptions:
    """See `Features` of a study; times are seconds, frequencies Hz."""

    kind: str
    n_bins: int
    window: tuple[float, float] | None = None
    points: int | None = None
    frequencies: tuple[float, ...] = ()
    n_cycles: float = 5.0
    bands: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """Which samples are in which bin.

    Attributes
    ----------
    samples : int array of shape (n_bins, n_points)
        Of each bin, those that are looked at.
    centres : float64 array of shape (n_bins,)
        Seconds of the middle of each bin.
    """

    samples: Ints
    centres: Floats


@dataclass(frozen=True, eq=False)
class Transform:
    """Makes features of trials.

    Attributes
    ----------
    layout : Layout
    names : tuple of str, of length n_kinds
        What there is of each channel and point: "amplitude", frequencies or bands.
    n_points : int
        Points a bin; 1 where each bin is taken as a whole.
    """

    options: FeatureOptions
    rate: float
    layout: Layout
    names: tuple[str, ...]
    n_points: int
    # (n_times, 2 * n_frequencies * n_bins * n_points): real and imaginary parts of the wavelets around all points
    wavelets: Floats

    def n_columns(self, n_channels: int) -> int:
        """Return how many columns a bin has."""
        return n_channels * len(self.names) * self.n_points

    def __call__(self, trial: Floats) -> Singles:
        """Return the features of a trial.

        Parameters
        ----------
        trial : float64 array of shape (n_channels, n_times)

        Returns
        -------
        float32 array of shape (n_bins, n_channels * n_kinds * n_points)
            By channel, then kind, then point.
        """
        if self.options.kind == "amplitude":
            values = trial[:, self.layout.samples][:, None]  # (n_channels, 1, n_bins, n_points)
        elif self.options.kind == "morlet":
            product = trial @ self.wavelets
            real, imaginary = np.split(product, 2, axis=1)
            values = (real**2 + imaginary**2).reshape(len(trial), len(self.names), *self.layout.samples.shape)
        else:
            values = self._band_power(trial)[..., None]
        return (
            np.ascontiguousarray(values.transpose(2, 0, 1, 3)).reshape(len(self.layout.centres), -1).astype(np.float32)
        )

    def _band_power(self, trial: Floats) -> Floats:
        """Mean of the periodogram (Hann window, constant detrend) over each band; (n_channels, n_bands, n_bins)."""
        bins = trial[:, self.layout.samples]
        frequencies, power = signal.periodogram(bins, self.rate, window="hann", detrend="constant", axis=2)
        assert self.options.bands is not None
        inside = [(frequencies >= low) & (frequencies <= high) for low, high in self.options.bands.values()]
        return np.stack([power[:, :, band].mean(axis=2) for band in inside], axis=1)


def make_transform(options: FeatureOptions, *, times: Floats, rate: float, where: str) -> Transform:
    """Lay out bins and wavelets.

    Parameters
    ----------
    options : FeatureOptions
    times : float64 array of shape (n_times,)
        Seconds of the samples of a trial.
    rate : float
        Hz.
    where : str
        Begin of messages: "features.power".

    Raises
    ------
    StudyError
        A time is outside the trials, a bin holds fewer samples than points, a frequency is not below half the rate, a
        wavelet is longer than the trial, or a band has no frequency that a bin can tell; the message says what can be.
    """
    samples, centres = _bins(options, times, rate, where)
    names: tuple[str, ...] = ("amplitude",)
    n_points, wavelets = samples.shape[1], np.empty((0, 0))
    if options.kind == "morlet":
        names = tuple(f"{frequency:g} Hz" for frequency in options.frequencies)
        wavelets = _wavelets_around(samples, options, len(times), rate, where)
    elif options.kind == "band-power":
        assert options.bands is not None
        names, n_points = tuple(options.bands), 1
        _check_bands(options.bands, samples.shape[1], rate, where)
    return Transform(options, rate, Layout(samples, centres), names, n_points, wavelets)


def _bins(options: FeatureOptions, times: Floats, rate: float, where: str) -> tuple[Ints, Floats]:
    """Cut a window into bins of equally many samples, and choose evenly spaced points of each."""
    slack = 1e-6 / rate
    low, high = (times[0], times[-1]) if options.window is None else options.window
    # The last sample stands for the time up to the next.
    if low < times[0] - slack or high > times[-1] + 1 / rate + slack:
        raise StudyError(
            f"{where}.window = [{low:g}, {high:g}]: outside the trials, which are from {times[0]:g} to {times[-1]:g} s"
        )
    first = int(np.searchsorted(times, low - slack))
    n_there = int(np.searchsorted(times, high + slack, side="right")) - first
    n_each = n_there // options.n_bins
    if n_each < max(1, options.points or 1):
        raise StudyError(
            f"{where}: n_bins = {options.n_bins} leaves {n_each} samples a bin, of {n_there} in the window; "
            f"{max(1, options.points or 1)} points a bin need as many"
        )
    points = options.points or n_each
    # The middles of so many equal parts.
    inside = np.floor((np.arange(points) + 0.5) * n_each / points).astype(np.int64)
    starts = first + np.arange(options.n_bins) * n_each
    return starts[:, None] + inside, times[0] + (starts + (n_each - 1) / 2) / rate


def morlet_wavelet(frequency: float, rate: float, n_cycles: float) -> npt.NDArray[np.complex128]:
    """Return a wavelet of odd length; see the module. complex128."""
    spread = n_cycles / (2 * math.pi * frequency)
    after = np.arange(0.0, _SPREADS * spread, 1 / rate)
    times = np.concatenate([-after[:0:-1], after])
    wave = np.exp(2j * math.pi * frequency * times)
    # Its mean is taken off, so that a constant signal has no power.
    wave -= math.exp(-2 * (math.pi * frequency * spread) ** 2)
    wave *= np.exp(-(times**2) / (2 * spread**2))
    return np.asarray(wave / (math.sqrt(0.5) * np.linalg.norm(wave)))


def _wavelets_around(samples: Ints, options: FeatureOptions, n_times: int, rate: float, where: str) -> Floats:
    points = samples.ravel()
    made = np.zeros((n_times, len(options.frequencies), len(points)), complex)
    for place, frequency in enumerate(options.frequencies):
        if frequency >= rate / 2:
            raise StudyError(
                f"{where}.frequencies: {frequency:g} Hz must be below {rate / 2:g} Hz, half the sampling rate"
            )
        wave = morlet_wavelet(frequency, rate, options.n_cycles)
        if len(wave) > n_times:
            raise StudyError(
                f"{where}.frequencies: at {frequency:g} Hz a wavelet of {options.n_cycles:g} cycles is "
                f"{len(wave) / rate:.3g} s long, and a trial {n_times / rate:.3g} s: use fewer cycles or longer trials"
            )
        half = (len(wave) - 1) // 2
        for column, point in enumerate(points.tolist()):
            rows = np.arange(max(0, point + half - len(wave) + 1), min(n_times, point + half + 1))
            made[rows, place, column] = wave[point + half - rows]
    flat = made.reshape(n_times, -1)
    return np.ascontiguousarray(np.concatenate([flat.real, flat.imag], axis=1))


def _check_bands(bands: Mapping[str, Sequence[float]], n_samples: int, rate: float, where: str) -> None:
    known = np.fft.rfftfreq(n_samples, 1 / rate)
    for name, (low, high) in bands.items():
        if high >= rate / 2:
            raise StudyError(f"{where}.bands.{name}: {high:g} Hz must be below {rate / 2:g} Hz, half the sampling rate")
        if low * n_samples < rate:
            raise StudyError(
                f"{where}.bands.{name}: a bin of {n_samples / rate:.3g} s holds less than a cycle of {low:g} Hz: "
                "use fewer bins or higher bands"
            )
        if not ((known >= low) & (known <= high)).any():
            raise StudyError(
                f"{where}.bands.{name} = [{low:g}, {high:g}]: a bin of {n_samples / rate:.3g} s tells frequencies "
                f"{rate / n_samples:.3g} Hz apart, and none is between"
            )
