"""Whether a study of sequences can work: every table is there, and has what the study says; networks can be made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cortax.errors import InputError
from cortax.workloads.sequences.dataset import Dataset, Period
from cortax.workloads.sequences.engines import network_of, prepare
from cortax.workloads.sequences.plan import dataset_options, site_file, site_options
from cortax.workloads.sequences.reading import read_site, typical_values, unit_warnings
from cortax.workloads.sequences.study import SequencesStudy

__all__ = ["check_sequences"]


def check_sequences(study: SequencesStudy, root: Path) -> None:
    """Try the network, read every table, and lay out every period; print warnings of what may be meant.

    Raises
    ------
    InputError
        A table is missing or not as the study says, see `read_series` and `Dataset`.
    StudyError
        The network cannot be trained, see `engines.prepare`.
    """
    missing = [
        root / site_file(study, site) for site in study.sites.names if not (root / site_file(study, site)).is_file()
    ]
    if missing:
        raise InputError(f"{missing[0]}: missing file, and so are {len(missing) - 1} more of sites.files")
    n_inputs = len(study.inputs.columns) + 2 * study.inputs.day_of_year
    prepare(network_of(study.network.settings, n_inputs, len(study.targets)), study.sites.window)
    typical, warnings = [], []
    for site in study.sites.names:
        options = dataset_options(study, site, "train")
        series = read_site(root, site_options(study, site))
        typical.append(typical_values(series, [*options["inputs"], *options["targets"]], site))
        dataset = Dataset(series, options)
        for name, days in study.sites.periods.items():
            period = dataset.period(name, days, np.float32)
            warnings += [f"site {site!r}: {text}" for text in _constant(period, name, options["targets"])]
    for text in [*warnings, *unit_warnings(pd.DataFrame(typical))]:
        print(f"warning: study {study.name!r}: {text}")


def _constant(period: Period, name: str, targets: list[str]) -> Iterator[str]:
    for target, column in zip(targets, period.observed[period.counts].T, strict=True):
        values = np.unique(column[~np.isnan(column)])
        if len(values) == 1:
            yield f"{target} is {values[0]:g} on every day of {name}: NSE and KGE are not defined"
