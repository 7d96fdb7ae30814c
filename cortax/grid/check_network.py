"""Whether a network study can work at all, as far as its plan has not found that out already."""

from __future__ import annotations

from pathlib import Path

from cortax.errors import CortaxError, InputError, StudyError
from cortax.grid.planning.networks import choose_both, measure
from cortax.networks.options import ForestOptions
from cortax.networks.truth import read_gold_standard
from cortax.provenance.files import file_digest
from cortax.study import NetworkStudy

__all__ = ["check_network"]


def check_network(study: NetworkStudy, root: Path) -> None:
    """Look at everything that a study names: the matrix, its genes, the forests and what is known of the network.

    Raises
    ------
    CortaxError
        Something is missing or wrong; the message names it, and the place in the study where it stands.
    """
    try:
        names = measure(study, root, file_digest).names
        regulators, targets = choose_both(study, names, root)
        for name, forest in study.forests.items():
            try:
                ForestOptions(**forest.model_dump(), seed=study.seed)
            except CortaxError as error:
                raise StudyError(f"forests.{name}: {error}") from error
    except StudyError as error:
        raise StudyError(f"study {study.name!r}: {error}") from error
    if study.truth is not None:
        gold = read_gold_standard(root / study.truth.file)
        if not (gold.regulators.intersection(regulators) and gold.targets.intersection(targets)):
            raise InputError(
                f"{root / study.truth.file}: names none of the study's regulators, or none of its targets: "
                f"{sorted(gold.targets)[:5]} are called otherwise in {study.expression.file}?"
            )
