"""Features of decoding, against MNE and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from cortax.errors import StudyError
from cortax.workloads.decoding.features import FeatureOptions, make_transform, morlet_wavelet

RATE, N_TIMES = 128.0, 200
TIMES = -0.5 + np.arange(N_TIMES) / RATE


def transform(**options):
    return make_transform(FeatureOptions(**options), times=TIMES, rate=RATE, where="features.x")


def signals(n_channels=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n_channels, N_TIMES)).cumsum(axis=1)


@pytest.mark.parametrize("frequency", [6.0, 10.0, 31.5])
@pytest.mark.parametrize("n_cycles", [3.0, 5.0])
def test_a_wavelet_is_that_of_mne(frequency, n_cycles):
    mne = pytest.importorskip("mne")
    (expected,) = mne.time_frequency.morlet(RATE, [frequency], n_cycles, zero_mean=True)
    assert np.allclose(morlet_wavelet(frequency, RATE, n_cycles), expected, rtol=0, atol=1e-14)


def test_power_is_that_of_mne_at_the_points(tmp_path):
    mne = pytest.importorskip("mne")
    made = transform(kind="morlet", n_bins=6, points=3, frequencies=(8.0, 12.0, 30.0), n_cycles=5.0)
    trial = signals()
    power = mne.time_frequency.tfr_array_morlet(
        trial[None], RATE, [8.0, 12.0, 30.0], n_cycles=5.0, zero_mean=True, output="power", verbose="error"
    )[0]
    expected = power[:, :, made.layout.samples].transpose(2, 0, 1, 3).reshape(6, -1)
    # Features are kept in single precision; before that they are MNE's to 1e-10.
    assert np.allclose(made(trial), expected, rtol=1e-6, atol=0)
    product = trial @ made.wavelets
    real, imaginary = np.split(product, 2, axis=1)
    exact = (real**2 + imaginary**2).reshape(3, 3, 6, 3)
    assert np.allclose(exact, power[:, :, made.layout.samples], rtol=1e-10, atol=0)
    assert made.names == ("8 Hz", "12 Hz", "30 Hz")


def test_band_power_is_the_mean_of_the_periodogram():
    made = transform(kind="band-power", n_bins=4, bands={"alpha": (8.0, 12.0), "beta": (13.0, 30.0)})
    trial = signals()
    found = made(trial).reshape(4, 3, 2)
    for place in range(4):
        window = trial[:, place * 50 : (place + 1) * 50]
        frequencies, power = signal.welch(window, RATE, window="hann", nperseg=50, axis=1)
        for band, (low, high) in enumerate(((8.0, 12.0), (13.0, 30.0))):
            expected = power[:, (frequencies >= low) & (frequencies <= high)].mean(axis=1)
            assert np.allclose(found[place, :, band], expected, rtol=1e-5)


@given(n_bins=st.integers(1, 40), points=st.integers(1, 5))
def test_points_of_bins_are_samples_in_order_each_in_one_bin(n_bins, points):
    made = transform(kind="amplitude", n_bins=n_bins, points=points)
    samples = made.layout.samples
    assert samples.shape == (n_bins, points)
    assert (np.diff(samples.ravel()) > 0).all()
    assert samples.min() >= 0
    assert samples.max() < N_TIMES
    assert (np.diff(made.layout.centres) > 0).all()
    trial = signals()
    values = made(trial).reshape(n_bins, 3, points)
    assert np.array_equal(values, trial[:, samples].transpose(1, 0, 2).astype(np.float32))


def test_a_window_is_cut_to_its_times():
    made = transform(kind="amplitude", n_bins=2, window=(0.0, 0.5))
    seconds = TIMES[made.layout.samples]
    assert seconds.min() == 0.0
    assert seconds.max() <= 0.5
    assert np.allclose(made.layout.centres, seconds.mean(axis=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "amplitude", "n_bins": 2, "window": (0.0, 2.0)},
            r"features\.x\.window = \[0, 2\]: outside the trials",
        ),
        ({"kind": "amplitude", "n_bins": 300}, "leaves 0 samples a bin, of 200"),
        ({"kind": "amplitude", "n_bins": 50, "points": 5}, "leaves 4 samples a bin, .*5 points a bin need as many"),
        ({"kind": "morlet", "n_bins": 4, "frequencies": (64.0,)}, r"64 Hz must be below 64 Hz, half the sampling rate"),
        (
            {"kind": "morlet", "n_bins": 4, "frequencies": (2.0,)},
            r"a wavelet of 5 cycles is 3\.\d+ s long, and a trial 1\.56",
        ),
        ({"kind": "band-power", "n_bins": 4, "bands": {"a": (8.0, 80.0)}}, "80 Hz must be below 64 Hz"),
        ({"kind": "band-power", "n_bins": 20, "bands": {"a": (4.0, 8.0)}}, "holds less than a cycle of 4 Hz"),
        ({"kind": "band-power", "n_bins": 10, "bands": {"a": (8.0, 9.0)}}, "6.4 Hz apart, and none is between"),
    ],
)
def test_what_cannot_be_laid_out_is_one_message(options, message):
    with pytest.raises(StudyError, match=message):
        transform(**options)
