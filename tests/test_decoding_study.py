"""Study files of decoding: what they may say, what the plan makes of them, and what is told before anything runs."""

import numpy as np
import pytest

from cortax.errors import CortaxError, InputError, StudyError
from cortax.provenance.files import file_digest
from cortax.workflow.workload import Planning, read_study, workload_of
from cortax.workloads.decoding.check import check_decoding
from cortax.workloads.decoding.plan import decoding_jobs
from cortax.workloads.decoding.simulate import GroupShape, simulate_group, simulate_phase

STUDY = """
kind = "decoding"
name = "eeg"
title = "Two people"

[epochs]
files = "eeg/{subject}_{phase}.npz"
subjects = ["sub-01", "sub-02"]
train = "encoding"
test = ["encoding", "retrieval"]

[features.amplitude]
n_bins = 4

[decoders.svm]
kind = "svm"

[search]
n_outer = 3
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eeg")
    simulate_group(folder / "eeg", GroupShape(n_subjects=2, n_trials=18, n_channels=3, rate=20.0))
    return folder


def study_of(root, old="", new=""):
    assert old in STUDY
    path = root / "eeg.toml"
    path.write_text(STUDY.replace(old, new, 1) if old else STUDY)
    return read_study(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{subject}_", "", r"files = .* must have \{subject\}"),
        ('"sub-02"]', '"sub-01"]', r"subjects: \['sub-01'\] occur more than once"),
        ('"sub-01", "sub-02"', '"sub-01"', r"tests over subjects need at least 2; .*Say group = false"),
        ('train = "encoding"', 'train = "encoding"\nwindow = [0.5, 0.1]', "the first time must be before the second"),
        ('train = "encoding"', 'train = "encoding"\nfile_rate = { "sub-01" = 5 }', "must have one number for each"),
        ("n_bins = 4", 'n_bins = 4\nkind = "morlet"', "frequencies is missing"),
        ("n_bins = 4", 'n_bins = 4\nkind = "band-power"\nbands = { a = [9.0, 8.0] }', "the lower one first"),
        ("n_bins = 4", "n_bins = 4\nn_cycles = 3.0", "n_cycles is of morlet"),
        (
            'kind = "svm"',
            'kind = "svm"\nshrinkage = [0.1]',
            "shrinkage is of another kind; its configurations are in C",
        ),
        ('kind = "svm"', 'kind = "svm"\nC = [1.0, 0.1]', "must rise"),
        ('kind = "svm"', 'kind = "sklearn"', "estimator = 'module:Class' is of kind = 'sklearn', which needs it"),
        ('kind = "svm"', 'kind = "smv"', r"decoders\.svm\.kind"),
        ('kind = "svm"', 'kind = "ridge"\nC = [1.0]', "C is of another kind; its configurations are in alpha"),
        (
            'kind = "svm"',
            'kind = "svm"\n[decoders.r]\nkind = "ridge"',
            r"\['r'\] of kind 'ridge' predict .*two studies",
        ),
        (
            "n_outer = 3",
            'n_outer = 3\nscoring = "r2"',
            r"search\.scoring = 'r2': these decoders are of classes; .*accuracy",
        ),
        (
            'kind = "svm"',
            'kind = "ridge"\n[statistics]\nmetric = "roc_auc"',
            r"statistics\.metric = 'roc_auc': these decoders are of continuous labels; .*\['pearson_r', 'r2'\]",
        ),
        ("n_outer = 3", "n_outter = 3", "did you mean 'n_outer'"),
    ],
)
def test_what_makes_no_sense_is_refused(root, old, new, message):
    with pytest.raises(StudyError, match=message):
        study_of(root, old, new)


def test_the_plan_has_a_job_for_each_step_and_what_statistics_need_is_last(root):
    study = study_of(root)
    jobs = decoding_jobs(study, Planning(root, file_digest))
    names = [job.name for job in jobs]
    assert len(names) == len(set(names)) == 2 + 4 + 2 + 4 + 2 + 2 + 1
    by_name = {job.name: job for job in jobs}
    assert by_name["generalise/amplitude/svm/sub-02/retrieval"].needs == {
        "decode/amplitude/svm/sub-02",
        "features/amplitude/sub-02/encoding",
        "features/amplitude/sub-02/retrieval",
    }
    assert by_name["generalise/amplitude/svm/sub-02/encoding"].options["same"]
    kept = by_name["null/amplitude/svm/retrieval"].without({"generalise/amplitude/svm/sub-01/retrieval"})
    assert kept.options["subjects"] == ["sub-02"]
    other = study_of(root, "n_outer = 3", 'n_outer = 3\n[statistics]\nmetric = "roc_auc"\nsmoothing = 2.0\ndraws = 500')
    changed = {
        job.name.partition("/")[0]
        for job in decoding_jobs(other, Planning(root, file_digest))
        if job.options != by_name[job.name].options
    }
    assert changed == {"null", "group"}
    assert set(workload_of("decoding").axes) >= {axis for job in jobs for axis in job.key}


def test_what_cannot_work_is_told_before_anything_runs(root):
    check_decoding(study_of(root), root)
    for old, new, message, kind in (
        ('"sub-02"]', '"sub-03"]', r"sub-03_encoding\.npz: missing file, and so are 1 more", InputError),
        ("n_bins = 4", "n_bins = 99", r"study 'eeg': features\.amplitude: n_bins = 99 leaves 0 samples", StudyError),
        ("n_outer = 3", "n_outer = 7", r"subject .sub-01.: class .face. has 6 trials: too few", CortaxError),
        ('train = "encoding"', 'train = "encoding"\nlabel = "lables"', "no such array: got 'lables'", InputError),
        (
            'kind = "svm"',
            'kind = "sklearn"\nestimator = "sklearn.svm:SVM"',
            r"decoders\.svm: .*'sklearn\.svm:SVM' is not 'module:Class'",
            StudyError,
        ),
    ):
        with pytest.raises(kind, match=message):
            check_decoding(study_of(root, old, new), root)


def write_continuous(root, phase, labels):
    with np.load(root / f"eeg/sub-01_{phase}.npz") as stored:
        np.savez(root / f"numbers/sub-01_{phase}.npz", **{**stored, "labels": labels(len(stored["labels"]))})


def test_labels_are_of_the_kind_that_decoders_are_for(root):
    (root / "numbers").mkdir(exist_ok=True)
    # Another subject's files are not looked at before its job.
    for file in (root / "eeg").glob("sub-02*"):
        (root / "numbers" / file.name).write_bytes(file.read_bytes())
    numbers = 'kind = "ridge"'

    def check(decoder, labels):
        for number, phase in enumerate(("encoding", "retrieval")):
            write_continuous(root, phase, lambda n, seed=number: labels(np.random.default_rng(seed), n))
        study = study_of(root, 'kind = "svm"', decoder)
        options = study.epochs.model_copy(update={"files": "numbers/{subject}_{phase}.npz"})
        check_decoding(study.model_copy(update={"epochs": options}), root)

    check(numbers, lambda random, n: 500 + random.normal(size=n))
    check('kind = "svm"', lambda random, n: np.arange(n) % 2)
    for decoder, labels, message in (
        (
            'kind = "svm"',
            lambda random, n: random.normal(size=n),
            r"encoding\.npz: labels are 18 different numbers in 18",
        ),
        (numbers, lambda random, n: np.array(["a", "b"] * 9), r"label 'a' of trial 1 is not a finite number; .*'svm'"),
        (numbers, lambda random, n: np.r_[np.nan, np.arange(n - 1)], r"label 'nan' of trial 1 is not a finite number"),
        (numbers, lambda random, n: np.arange(n) % 2, r"2 different labels: .*'sklearn' tell two classes"),
    ):
        with pytest.raises(InputError, match=message):
            check(decoder, labels)
    with pytest.raises(StudyError, match=r"sklearn\.linear_model:Lasso predicts numbers, .*kind = 'ridge' is for"):
        check_decoding(
            study_of(root, 'kind = "svm"', 'kind = "sklearn"\nestimator = "sklearn.linear_model:Lasso"'), root
        )


def test_what_is_scored_follows_from_the_labels(root):
    jobs = {job.name: job for job in decoding_jobs(study_of(root), Planning(root, file_digest))}
    assert jobs["null/amplitude/svm/retrieval"].options["metric"] == "balanced_accuracy"
    assert jobs["decode/amplitude/svm/sub-01"].options["scoring"] == "balanced_accuracy"
    study = study_of(root, 'kind = "svm"', 'kind = "ridge"')
    jobs = {job.name: job for job in decoding_jobs(study, Planning(root, file_digest))}
    assert jobs["null/amplitude/svm/retrieval"].options["metric"] == "pearson_r"
    assert jobs["decode/amplitude/svm/sub-01"].options["scoring"] == "r2"
    assert jobs["epochs/sub-01"].options["continuous"]


def test_a_simulated_file_depends_on_its_subject_and_phase_alone(root):
    shape = GroupShape(n_trials=18, n_channels=3, rate=20.0)
    again = simulate_phase(shape, "sub-02", "retrieval")
    with np.load(root / "eeg/sub-02_retrieval.npz") as stored:
        assert all(np.array_equal(stored[name], values) for name, values in again.items())
    assert not np.array_equal(simulate_phase(shape, "sub-01", "retrieval")["data"], again["data"])
