"""Whether a study of sequences can work: every table is there, and has what the study says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cortax.errors import InputError
from cortax.workloads.sequences.dataset import Dataset
from cortax.workloads.sequences.plan import dataset_options, site_file, site_options
from cortax.workloads.sequences.reading import read_site
from cortax.workloads.sequences.study import SequencesStudy

__all__ = ["check_sequences"]


def check_sequences(study: SequencesStudy, root: Path) -> None:
    """Read every table, and lay out every period.

    Raises
    ------
    InputError
        A table is missing or not as the study says, see `read_series` and `Dataset`.
    """
    missing = [
        root / site_file(study, site) for site in study.sites.names if not (root / site_file(study, site)).is_file()
    ]
    if missing:
        raise InputError(f"{missing[0]}: missing file, and so are {len(missing) - 1} more of sites.files")
    for site in study.sites.names:
        dataset = Dataset(read_site(root, site_options(study, site)), dataset_options(study, site, "train"))
        for name, days in study.sites.periods.items():
            dataset.period(name, days, np.float32)
