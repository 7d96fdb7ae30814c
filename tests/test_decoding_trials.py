"""Trials of decoding: what readers return, by MNE and by scipy, and what bad input gets."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from cortax.errors import InputError
from cortax.workloads.decoding.epochs import Cut, check_phases, make_epochs, open_trials, save_trials
from cortax.workloads.decoding.trials import Trials, read_trials

N_TRIALS, N_CHANNELS, N_TIMES, RATE = 8, 3, 50, 100.0


def made(seed=0, **changes):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(N_TRIALS, N_CHANNELS, N_TIMES))
    trials = Trials(data, ("a", "b") * 4, (), ("Fz", "Cz", "Pz"), RATE, -0.1)
    return replace(trials, **changes)


def write_npz(path, **changes):
    trials = made()
    content = {
        "data": trials.data,
        "labels": np.array(trials.labels),
        "times": trials.times,
        "channels": np.array(trials.channels),
        "run": np.repeat([1, 2], 4),
    }
    np.savez(path, **{name: value for name, value in (content | changes).items() if value is not None})
    return path


def write_ts(path, trials):
    rows = [
        ":".join([",".join(map(repr, channel)) for channel in trial.tolist()] + [label])
        for trial, label in zip(trials.data, trials.labels, strict=True)
    ]
    path.write_text("#a comment\n@problemName x\n@classLabel true a b\n@data\n" + "\n".join(rows) + "\n")
    return path


def test_an_archive_is_read_with_its_times_and_groups(tmp_path):
    found = read_trials(write_npz(tmp_path / "a.npz"), group="run")
    assert np.array_equal(found.data, made().data)
    assert (found.labels, found.groups[0], found.groups[-1]) == (made().labels, "1", "2")
    assert found.rate == pytest.approx(RATE)
    assert found.start == pytest.approx(-0.1)


def test_a_ts_file_is_read_to_the_digit(tmp_path):
    found = read_trials(write_ts(tmp_path / "a.ts", made()), rate=RATE, start=-0.1)
    assert np.array_equal(found.data, made().data)
    assert (found.labels, found.rate, found.start) == (made().labels, RATE, -0.1)
    assert found.channels == ("channel 1", "channel 2", "channel 3")


def test_mne_epochs_are_read_with_conditions_or_metadata(tmp_path):
    mne = pytest.importorskip("mne")
    pandas = pytest.importorskip("pandas")
    trials = made()
    info = mne.create_info(["Fz", "Cz", "Pz", "STI"], RATE, ["eeg"] * 3 + ["stim"])
    events = np.column_stack([np.arange(N_TRIALS) * 100, np.zeros(N_TRIALS, int), np.tile([1, 2], 4)])
    data = np.concatenate([trials.data * 1e-6, np.zeros((N_TRIALS, 1, N_TIMES))], axis=1)
    metadata = pandas.DataFrame({"run": [1] * 4 + [2] * 4, "kind": list("ccccdddd")})
    epochs = mne.EpochsArray(data, info, events, -0.1, {"a": 1, "b": 2}, metadata=metadata, verbose="error")
    epochs.save(tmp_path / "sub-epo.fif", fmt="double", verbose="error")
    found = read_trials(tmp_path / "sub-epo.fif", group="run")
    assert np.allclose(found.data, trials.data * 1e-6, rtol=1e-12, atol=0)
    assert (found.labels, found.channels, found.start) == (trials.labels, trials.channels, pytest.approx(-0.1))
    assert found.groups == ("1",) * 4 + ("2",) * 4
    assert read_trials(tmp_path / "sub-epo.fif", label="kind").labels == tuple("ccccdddd")
    with pytest.raises(InputError, match=r"epochs\.group.*got 'rum'.*did you mean 'run'"):
        read_trials(tmp_path / "sub-epo.fif", group="rum")
    with pytest.raises(InputError, match=r"epochs\.label.*got 'kinds'.*did you mean 'kind'"):
        read_trials(tmp_path / "sub-epo.fif", label="kinds")


def test_epochs_are_cut_as_asked_for():
    trials = made()
    found = make_epochs(trials, Cut(exclude=("C*",), baseline=(-0.1, 0.0), window=(0.1, 0.3)), "file")
    assert found.channels == ("Fz", "Pz")
    assert found.start == pytest.approx(0.1)
    expected = trials.data[:, [0, 2]] - trials.data[:, [0, 2], :11].mean(axis=2, keepdims=True)
    assert np.allclose(found.data, expected[:, :, 20:41], rtol=0, atol=1e-14)
    resampled = make_epochs(trials, Cut(rate=50.0), "file")
    assert resampled.rate == 50.0
    assert np.allclose(resampled.data, signal.resample_poly(trials.data, 1, 2, axis=2, padtype="line"))


def test_other_classes_are_left_out_and_counted():
    trials = made(labels=("a", "b", "c", "a", "b", "c", "a", "b"))
    found = make_epochs(trials, Cut(classes=("a", "b")), "file")
    assert found.labels == ("a", "b", "a", "b", "a", "b")
    assert dict(found.dropped) == {"labelled 'c'": 2}
    assert np.array_equal(found.data, trials.data[[0, 1, 3, 4, 6, 7]])


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (Cut(window=(0.1, 0.9)), r"file: epochs\.window = .*outside the trials, which are from -0\.1 to 0\.39 s"),
        (Cut(baseline=(-0.3, 0.0)), r"file: epochs\.baseline = .*outside the trials"),
        (Cut(window=(0.101, 0.102)), r"no sample is between; they are 0\.01 s apart"),
        (Cut(rate=200.0), r"epochs\.rate = 200 Hz is above 100 Hz"),
        (Cut(channels=("Fp*",)), r"file: epochs\.channels: nothing matches: got 'Fp\*'"),
        (Cut(exclude=("*",)), "leaves no channel"),
        (Cut(classes=("a", "B")), r"epochs\.classes: no trial is labelled so: got 'B'.*\['a', 'b'\]"),
    ],
)
def test_a_cut_that_makes_no_sense_is_one_message(cut, message):
    with pytest.raises(InputError, match=message):
        make_epochs(made(), cut, "file")


@pytest.mark.parametrize(("value", "what"), [(np.nan, "not finite"), (0.0, "one value at all times")])
def test_a_bad_channel_is_named_with_its_trials(value, what):
    data = made().data.copy()
    data[2:4, 1] = value
    with pytest.raises(InputError, match=rf"channel 'Cz' has .*{what} in trial 3; so have 'Cz' in 2 trials"):
        make_epochs(made(data=data), Cut(), "file")
    found = make_epochs(made(data=data), Cut(exclude=("Cz",)), "file")
    assert found.channels == ("Fz", "Pz")


def test_phases_that_differ_are_refused():
    first, second = made(0), made(1)
    check_phases({"train": first, "test": second}, "train", "subject 's1'")
    for changed, message in (
        (replace(second, rate=50.0), r"sampling rates: 100\.0 and 50\.0"),
        (replace(second, channels=("Fz", "Cz", "Oz")), "differ in channels"),
        (replace(second, labels=("a", "c") * 4), r"labels: \['a', 'b'\] and \['a', 'c'\]"),
        (replace(second, start=0.0), "times of the first sample"),
        (replace(second, data=second.data[:, :, :-1]), "numbers of samples: 50 and 49"),
        (replace(second, data=second.data * 1e-6), r"differ in units: signals of the second are .*e-0[67] times as"),
    ):
        with pytest.raises(InputError, match=message):
            check_phases({"train": first, "test": changed}, "train", "subject 's1'")


def test_a_trial_that_is_in_both_phases_is_found_by_its_content():
    first, second = made(0), made(1)
    data = second.data.copy()
    data[4] = first.data[6]
    with pytest.raises(InputError, match=r"trial 5 of phase 'test' is the same signal as trial 7 of phase 'train'"):
        check_phases({"train": first, "test": replace(second, data=data)}, "train", "subject 's1'")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, r"no such array: got 'labels'"),
        ({"times": None}, r"does not say its sampling rate; say epochs\.file_rate"),
        ({"times": np.r_[0:49, 60] / RATE}, "evenly spaced"),
        ({"labels": np.array(["a"])}, r"1 labels, but data of shape \(8, 3, 50\)"),
        ({"channels": np.array(["Fz", "Fz", "Pz"])}, r"more than once: \['Fz'\]"),
        ({"data": np.zeros((2, 3))}, r"got \(2, 3\)"),
        ({"data": np.zeros((8, 3, 50), complex)}, "real numbers; got complex128"),
    ],
)
def test_a_wrong_archive_is_one_message_with_its_path(tmp_path, changes, message):
    path = write_npz(tmp_path / "a.npz", **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_trials(path)
    assert str(path) in str(caught.value)


def test_other_wrong_files_are_named(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    (tmp_path / "a.ts").write_text("@data\n1,2:3,x:a\n")
    (tmp_path / "b.ts").write_text("@data\n1,2:a\n1,2,3:a\n")
    (tmp_path / "c.ts").write_text("1,2:a\n")
    for name, message in (
        ("a.npz", "not a readable NumPy archive"),
        ("a.ts", "line 2"),
        ("b.ts", "2 trials of shapes"),
        ("c.ts", "no @data line"),
        ("missing.ts", "missing file"),
        ("a.mat", r"format of trials: got '\.mat'"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_trials(tmp_path / name, rate=RATE)
        assert name in str(caught.value)


def test_trials_come_back_as_they_were_saved(tmp_path):
    trials = made(groups=("r",) * 8, dropped={"bad": 2})
    assert save_trials(tmp_path, "train", trials) == ["train.npy", "train.json"]
    found = open_trials(tmp_path, "train")
    assert np.array_equal(found.data, trials.data)
    assert (found.labels, found.groups, dict(found.dropped)) == (trials.labels, trials.groups, {"bad": 2})
