"""All phases of one subject, read as the options of an `epochs` job say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cortax.errors import InputError
from cortax.provenance.files import file_digest
from cortax.workloads.decoding.epochs import Cut, check_labels, check_phases, make_epochs
from cortax.workloads.decoding.trials import Trials, read_trials, trial_digests

__all__ = ["read_subject"]


def read_subject(root: Path, options: Mapping[str, Any]) -> dict[str, Trials]:
    """Read, cut and check the trials of a subject in every phase.

    Parameters
    ----------
    root : Path
        The project.
    options : mapping
        Those of the method `epochs`.

    Raises
    ------
    InputError
        See `read_trials`, `make_epochs`, `check_labels` and `check_phases`; or a file changed since the build began.
    """
    cut = Cut(
        channels=tuple(options["channels"]),
        exclude=tuple(options["exclude"]),
        classes=None if options["classes"] is None else tuple(options["classes"]),
        rate=options["rate"],
        baseline=options["baseline"],
        window=options["window"],
    )
    phases = {}
    for phase, file in options["files"].items():
        read = read_trials(
            root / file,
            label=options["label"],
            group=options["group"],
            rate=options["file_rate"],
            start=options["file_start"],
            window=options["window"],
        )
        for part, digest in trial_digests(root, [file], file_digest).items():
            if digest != options["digests"].get(part):
                raise InputError(f"{part}: changed since the build began; start it again")
        phases[phase] = make_epochs(read, cut, str(file))
        check_labels(phases[phase].labels, str(file), continuous=options["continuous"])
    check_phases(phases, options["train"], f"subject {options['subject']!r}", continuous=options["continuous"])
    return phases
