"""Whether a decoding study can work: files are there, and the first subject can be read, laid out and folded."""

from __future__ import annotations

from pathlib import Path

from sklearn.base import is_regressor

from cortax.errors import CortaxError, InputError, StudyError
from cortax.provenance.files import file_digest
from cortax.workloads.decoding.bins import DecoderOptions
from cortax.workloads.decoding.folds import trial_folds
from cortax.workloads.decoding.making import transform_of
from cortax.workloads.decoding.plain import make_estimator
from cortax.workloads.decoding.plan import epochs_options, features_options, phase_files
from cortax.workloads.decoding.reading import read_subject
from cortax.workloads.decoding.recordings import montage_positions
from cortax.workloads.decoding.study import DecodingStudy
from cortax.workloads.decoding.trials import trial_digests

__all__ = ["check_decoding"]


def check_decoding(study: DecodingStudy, root: Path) -> None:
    """Look at the files of all subjects, and at everything of the first; where subjects are apart, of each.

    Raises
    ------
    CortaxError
        A file is missing or cannot be read, trials are not as the study says, or an estimator cannot be made.
    """
    missing = [
        root / file
        for subject in study.epochs.subjects
        for file in phase_files(study, subject).values()
        if not (root / file).is_file()
    ]
    if missing:
        raise InputError(f"{missing[0]}: missing file, and so are {len(missing) - 1} more of epochs.files")
    try:
        if study.report.montage:
            montage_positions(study.report.montage)
        _check_estimators(study)
        for subject in study.epochs.subjects[: 1 if study.statistics.group else None]:
            _check_subject(study, root, subject)
    except StudyError as error:
        raise StudyError(f"study {study.name!r}: {error}") from error


def _check_subject(study: DecodingStudy, root: Path, subject: str) -> None:
    options = epochs_options(study, subject)
    options["digests"] = trial_digests(root, options["files"].values(), file_digest)
    trials = read_subject(root, options)[study.epochs.train]
    for name in study.features:
        transform_of(features_options(study, name, study.epochs.train), trials)
    search = study.search
    trial_folds(
        trials.labels,
        trials.groups,
        n_outer=search.n_outer,
        n_inner=search.n_inner,
        seed=study.seed,
        subject=subject,
        continuous=study.continuous,
    )


def _check_estimators(study: DecodingStudy) -> None:
    for name, decoder in study.decoders.items():
        if decoder.kind == "sklearn":
            configs = tuple(decoder.configurations)
            asked = DecoderOptions(
                decoder.kind, configs, decoder.select, "accuracy", True, decoder.estimator, study.seed
            )
            for config in configs:
                try:
                    if is_regressor(make_estimator(asked, config)):
                        raise StudyError(
                            f"{decoder.estimator} predicts numbers, and kind = 'sklearn' is of classifiers; kind = "
                            "'ridge' is for continuous labels"
                        )
                except (CortaxError, ValueError, TypeError) as error:
                    raise StudyError(f"decoders.{name}: {config}: {error}") from error
