"""Recordings and epochs in the formats of the field, written by MNE's own exporters and by edfio."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from cortax.errors import InputError, StudyError
from cortax.provenance.files import file_digest
from cortax.workloads.decoding.epochs import Cut, make_epochs, save_trials
from cortax.workloads.decoding.reading import read_subject
from cortax.workloads.decoding.recordings import montage_positions
from cortax.workloads.decoding.report.material import Material
from cortax.workloads.decoding.report.topomaps import draw_heads, electrode_positions
from cortax.workloads.decoding.trials import read_trials, trial_digests, trial_files

mne = pytest.importorskip("mne")

RATE, WINDOW = 100.0, (-0.2, 0.5)
# The last event is too near to the end for a whole trial.
EVENTS = [(2.0, "left"), (6.0, "right"), (10.0, "left"), (14.0, "right"), (19.9, "left")]
WRITERS = {".set": "eeglabio", ".edf": "edfio", ".bdf": "edfio", ".vhdr": "pybv"}


def recording(channels=("Fz", "Cz", "Pz"), events=EVENTS, seed=1):
    """Twenty seconds in microvolts."""
    data = np.random.default_rng(seed).normal(size=(len(channels), 2000)) * 1e-5
    raw = mne.io.RawArray(data, mne.create_info(list(channels), RATE, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([time for time, _ in events], 0.0, [name for _, name in events]))
    return raw


def write(path, raw):
    if path.suffix == ".fif":
        raw.save(path, fmt="double", overwrite=True, verbose="error")
        return path
    pytest.importorskip(WRITERS[path.suffix])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne.export.export_raw(path, raw, overwrite=True, verbose="error")
    return path


def cut(raw, events=EVENTS[:-1]):
    places = np.array([round(time * RATE) for time, _ in events])[:, None] + np.arange(-20, 51)
    return raw.get_data()[:, places].transpose(1, 0, 2)


@pytest.mark.parametrize("name", ["a.set", "a.edf", "a.bdf", "a.vhdr", "a_raw.fif"])
def test_a_recording_is_cut_around_its_annotations(tmp_path, name):
    raw = recording()
    path = write(tmp_path / name, raw)
    found = read_trials(path, window=WINDOW)
    assert [label.removeprefix("Comment/") for label in found.labels] == ["left", "right", "left", "right"]
    assert (found.channels, found.rate) == (("Fz", "Cz", "Pz"), RATE)
    assert found.start == pytest.approx(WINDOW[0])
    assert dict(found.dropped) == {"TOO_SHORT": 1}
    assert not found.unfit
    # EDF keeps 16 bits of a channel's range.
    step = np.ptp(raw.get_data()) / 2**16 if name == "a.edf" else 1e-11
    assert np.abs(found.data - cut(raw)).max() <= step
    with pytest.raises(InputError, match=r"say epochs\.window"):
        read_trials(path)


def test_epochs_of_eeglab_are_read_as_they_were_cut(tmp_path):
    pytest.importorskip("eeglabio")
    raw = recording()
    events, names = mne.events_from_annotations(raw, verbose="error")
    epochs = mne.Epochs(raw, events, names, *WINDOW, baseline=None, preload=True, verbose="error")
    epochs.set_annotations(None)
    mne.export.export_epochs(tmp_path / "e.set", epochs, verbose="error")
    found = read_trials(tmp_path / "e.set")
    assert found.labels == ("left", "right", "left", "right")
    assert found.start == pytest.approx(WINDOW[0])
    assert np.abs(found.data - cut(raw)).max() <= 1e-11


def test_positions_come_with_the_file(tmp_path):
    raw = recording(("Fz", "Cz", "odd"))
    assert read_trials(write(tmp_path / "a_raw.fif", raw), window=WINDOW).positions == ()
    raw.set_montage("biosemi32", on_missing="ignore")
    found = read_trials(write(tmp_path / "a_raw.fif", raw), window=WINDOW)
    assert np.allclose(found.positions[:2], [channel["loc"][:3] for channel in raw.info["chs"][:2]])
    assert np.isnan(found.positions[2]).all()
    some = make_epochs(found, Cut(channels=("Cz", "odd")), "file")
    assert some.positions[0] == found.positions[1]


def epochs_job(folder, trials):
    save_trials(folder, "train", trials)
    job = SimpleNamespace(folder=folder, setup={"options": {"train": "train"}})
    return SimpleNamespace(of=lambda method: [job])


def test_patterns_are_on_the_head_where_mne_draws_them(tmp_path):
    names = ("Fz", "Cz", "odd", "Pz", "O1", "O2", "T7", "T8")
    raw = recording(names)
    raw.set_montage("biosemi32", on_missing="ignore")
    trials = read_trials(write(tmp_path / "a_raw.fif", raw), window=WINDOW)
    positions = electrode_positions(Material(epochs_job(tmp_path, trials)), names)
    assert list(positions) == [name for name in names if name != "odd"]
    # Of files that do not say it, the study's montage, whatever the case of letters.
    unknown = Material(epochs_job(tmp_path, replace(trials, positions=())), "biosemi32")
    by_montage = electrode_positions(unknown, [name.upper() for name in names])
    assert np.allclose(list(by_montage.values()), list(positions.values()), atol=1e-6)
    assert electrode_positions(Material(unknown.made), names) == {}
    assert electrode_positions(unknown, names[:3]) == {}
    assert electrode_positions(unknown, ("Fz", "Cz", "Pz", "Oz")) == {}  # on one line
    strength = np.random.default_rng(0).random((8, 3))
    figure = draw_heads(strength, names, positions, (0.1, 0.2, 0.3))
    heads = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in heads] == ["0.1 s", "0.2 s", "0.3 s"]
    known = [number for number, name in enumerate(names) if name != "odd"]
    raw.pick([names[number] for number in known])
    for place, axes in enumerate(heads):
        expected, _ = mne.viz.plot_topomap(strength[known, place], raw.info, contours=0, show=False, axes=axes)
        # MNE fits the head to landmarks, too, which are not kept: a hundredth of the range.
        assert np.allclose(axes.images[0].get_array(), expected.get_array(), rtol=0, atol=0.03)
    with pytest.raises(StudyError, match=r"report\.montage: got 'biosemi23'.*did you mean 'biosemi32'"):
        montage_positions("biosemi23")


def test_files_beside_a_file_are_read_under_their_own_digests(tmp_path):
    header = write(tmp_path / "a.vhdr", recording())
    assert [file.name for file in trial_files(header)] == ["a.vhdr", "a.eeg", "a.vmrk"]
    before = trial_digests(tmp_path, ["a.vhdr"], file_digest)
    options = {
        "subject": "s", "train": "one", "files": {"one": "a.vhdr"}, "digests": before, "label": "labels", "group": None,
        "file_rate": None, "file_start": 0.0, "window": WINDOW, "channels": ["*"], "exclude": [], "classes": None,
        "rate": None, "baseline": None,
        "continuous": False,
    }  # fmt: skip
    assert read_subject(tmp_path, options)["one"].data.shape == (4, 3, 71)
    signals = bytearray((tmp_path / "a.eeg").read_bytes())
    signals[100] ^= 1
    (tmp_path / "a.eeg").write_bytes(signals)
    after = trial_digests(tmp_path, ["a.vhdr"], file_digest)
    assert {name for name in after if after[name] != before[name]} == {"a.eeg"}
    with pytest.raises(InputError, match=r"^a\.eeg: changed since the build began"):
        read_subject(tmp_path, options)


def test_a_recording_in_several_files_is_read_whole(tmp_path):
    raw = recording()
    long = mne.io.RawArray(np.tile(raw.get_data(), 40), raw.info, verbose="error").set_annotations(raw.annotations)
    long.save(tmp_path / "a_raw.fif", fmt="double", split_size="2MB", buffer_size_sec=1, verbose="error")
    files = trial_files(tmp_path / "a_raw.fif")
    assert [file.name for file in files] == ["a_raw.fif", "a_raw-1.fif"]
    assert read_trials(files[0], window=WINDOW).data.shape == (5, 3, 71)


def eeglab_apart(path, signals, raw):
    """EEGLAB's way of two files: one says what is in the other."""
    content = {name: values for name, values in loadmat(write(path, raw)).items() if not name.startswith("__")}
    (path.parent / signals).write_bytes(content["data"].astype("<f4").tobytes(order="F"))
    savemat(path, content | {"data": signals}, appendmat=False)
    return path


def test_signals_of_eeglab_lie_in_a_file_of_the_same_name(tmp_path):
    raw = recording()
    path = eeglab_apart(tmp_path / "a.set", "a.fdt", raw)
    assert [file.name for file in trial_files(path)] == ["a.set", "a.fdt"]
    assert np.abs(read_trials(path, window=WINDOW).data - cut(raw)).max() <= 1e-11
    path = eeglab_apart(tmp_path / "b.set", "other.fdt", raw)
    with pytest.raises(InputError, match=r"b\.set: its signals are in 'other\.fdt', which its name does not tell"):
        read_trials(path, window=WINDOW)


@pytest.mark.parametrize(
    ("name", "description"),
    [("a.vhdr", "BAD_blink"), ("a.edf", "bad"), ("a.set", "boundary"), ("a_raw.fif", "BAD boundary")],
)
def test_trials_over_a_break_are_left_out_and_counted(tmp_path, name, description):
    found = read_trials(write(tmp_path / name, recording(events=sorted([*EVENTS, (6.3, description)]))), window=WINDOW)
    assert [label.removeprefix("Comment/") for label in found.labels] == ["left", "left", "right"]
    reason = "BAD boundary" if description == "boundary" else description
    assert dict(found.dropped) == {reason: 1, "TOO_SHORT": 1}


def test_a_new_segment_of_brainvision_is_no_event(tmp_path):
    path = write(tmp_path / "a.vhdr", recording())
    markers = (tmp_path / "a.vmrk").read_text()
    lines = "Mk6=New Segment,,1,1,0,20200101000000000000\nMk7=New Segment,,1020,1,0,20200101000000000000\n"
    (tmp_path / "a.vmrk").write_text(markers + lines)
    found = read_trials(path, window=WINDOW)
    assert found.labels == ("Comment/left", "Comment/right", "Comment/right")
    assert dict(found.dropped) == {"BAD boundary": 1, "TOO_SHORT": 1}


def write_edf(path, signals):
    """Signals of (label, rate, unit)."""
    edfio = pytest.importorskip("edfio")
    random = np.random.default_rng(0)
    made = [
        edfio.EdfSignal(random.normal(size=int(20 * rate)), rate, label=label, physical_dimension=unit)
        for label, rate, unit in signals
    ]
    edfio.Edf(made, annotations=[edfio.EdfAnnotation(time, None, name) for time, name in EVENTS]).write(path)
    return path


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        ([("Fz", 100, "uV"), ("Cz", 20, "uV")], r"'Cz' is recorded at 20 Hz, and the file at 100 Hz"),
        ([("Fz", 100, "uV"), ("Cz", 100, "")], r"'Cz' is in the unit 'n/a', which is no voltage"),
        ([("Fz", 100, "uV"), ("HEOG", 100, "uV")], r"'HEOG' is by its name no signal of the brain"),
    ],
)
def test_channels_that_are_unfit_are_decoded_only_if_they_are_named(tmp_path, signals, message):
    found = read_trials(write_edf(tmp_path / "a.edf", signals), window=WINDOW)
    with pytest.raises(InputError, match=f"file: channels that are not to be decoded without a word: {message}.*Leave"):
        make_epochs(found, Cut(), "file")
    assert make_epochs(found, Cut(exclude=(signals[1][0],)), "file").channels == ("Fz",)
    assert make_epochs(found, Cut(channels=("Fz", signals[1][0])), "file").data.shape[1] == 2


def test_channels_that_are_marked_bad_are_unfit_and_other_kinds_are_no_data(tmp_path):
    raw = recording(("Fz", "Cz", "E", "STI"))
    raw.set_channel_types({"E": "eog", "STI": "stim"}, verbose="error", on_unit_change="ignore")
    raw.info["bads"] = ["Cz"]
    found = read_trials(write(tmp_path / "a_raw.fif", raw), window=WINDOW)
    assert found.channels == ("Fz", "Cz")
    with pytest.raises(InputError, match="'Cz' is marked bad in the file"):
        make_epochs(found, Cut(), "file")


def test_what_cannot_be_cut_is_one_message(tmp_path):
    raw = recording(("Fz", "STI"), events=[])
    raw.set_channel_types({"STI": "stim"}, verbose="error", on_unit_change="ignore")
    path = write(tmp_path / "a_raw.fif", raw)
    with pytest.raises(
        InputError, match=r"a_raw\.fif: has no annotations.*triggers of \['STI'\] become annotations by"
    ):
        read_trials(path, window=WINDOW)
    other = write(tmp_path / "b_raw.fif", recording())
    for key in ("label", "group"):
        with pytest.raises(InputError, match=rf"epochs\.{key}: .*got 'condition', and the file has no metadata"):
            read_trials(other, window=WINDOW, **{key: "condition"})
    twice = write(tmp_path / "c_raw.fif", recording(events=[*EVENTS, (2.0, "right")]))
    with pytest.raises(InputError, match=r"c_raw\.fif: 'left' and 'right' are both at 2 s: keep the one that"):
        read_trials(twice, window=WINDOW)
    for name in ("a.edf", "a.set", "a.vhdr"):
        (tmp_path / name).write_bytes(b"no recording")
        with pytest.raises(InputError, match="not a readable recording"):
            read_trials(tmp_path / name, window=WINDOW)


def test_a_label_that_only_one_phase_has_is_told(tmp_path):
    write(tmp_path / "one.edf", recording())
    write(tmp_path / "two.edf", recording(events=[*EVENTS[:3], (14.0, "up")], seed=2))
    options = {
        "subject": "s", "train": "one", "files": {"one": "one.edf", "two": "two.edf"}, "label": "labels", "group": None,
        "digests": trial_digests(tmp_path, ["one.edf", "two.edf"], file_digest), "file_rate": None, "file_start": 0.0,
        "window": WINDOW, "channels": ["*"], "exclude": [], "classes": None, "rate": None, "baseline": None,
        "continuous": False,
    }  # fmt: skip
    with pytest.raises(InputError, match=r"subject 's': phases 'one' and 'two' differ in labels: .*'up'"):
        read_subject(tmp_path, options)
