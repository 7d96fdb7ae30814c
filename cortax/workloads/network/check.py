"""Whether a network study can work at all, as far as its plan has not found that out already."""

from __future__ import annotations

from pathlib import Path

from cortax.data.files import ends_with
from cortax.data.textfiles import column_names
from cortax.errors import CortaxError, InputError, StudyError
from cortax.provenance.files import file_digest
from cortax.study.patterns import Patterns
from cortax.workloads.network.expression import row_names
from cortax.workloads.network.options import ForestOptions
from cortax.workloads.network.plan import choose_both, listed_names, measure
from cortax.workloads.network.study import NetworkStudy
from cortax.workloads.network.truth import GoldStandard, read_gold_standard

__all__ = ["check_network"]


def check_network(study: NetworkStudy, root: Path) -> None:
    """Look at everything that a study names: the matrix, its genes, the forests and what is known of the network.

    Raises CortaxError: something is missing or wrong; the message names it, and the place in the study where it stands.
    """
    gold = read_gold_standard(root / study.truth.file) if study.truth is not None else None
    try:
        _check_layout(study, root, gold)
        names = measure(study, root, file_digest).names
        regulators, targets = choose_both(study, names, root)
        for name, forest in study.forests.items():
            try:
                ForestOptions(**forest.model_dump(), seed=study.seed)
            except CortaxError as error:
                raise StudyError(f"forests.{name}: {error}") from error
    except StudyError as error:
        raise StudyError(f"study {study.name!r}: {error}") from error
    if gold is None or study.truth is None:
        return
    if not (gold.regulators.intersection(regulators) and gold.targets.intersection(targets)):
        raise InputError(
            f"{root / study.truth.file}: names none of the study's regulators, or none of its targets: "
            f"{sorted(gold.targets)[:5]} are called otherwise in {study.expression.file}?"
        )


def _check_layout(study: NetworkStudy, root: Path, gold: GoldStandard | None) -> None:
    """Make sure that what is taken for genes is not samples: by the names that the study has, else by the shape."""
    about, path = study.expression, root / study.expression.file
    if ends_with(path, ".h5ad"):
        return
    header = column_names(path)
    named_in = about.names_in or (header[0] if about.genes_in == "rows" and header else None)
    found = {"rows": set(row_names(path, named_in)), "columns": {*header} - {named_in or ""}}
    other = "rows" if about.genes_in == "columns" else "columns"
    genes = set(gold.regulators | gold.targets) if gold is not None else set()
    for key, asked in (("regulators", study.regulators), ("targets", study.targets)):
        patterns = Patterns(tuple(name for name in asked.names if name != "*"))
        genes |= (
            listed_names(root / asked.file, key) if asked.file else set(patterns.select(set().union(*found.values())))
        )
    n_here, there = len(genes & found[about.genes_in]), sorted(genes & found[other])
    if len(there) > n_here:
        raise StudyError(
            f"expression.genes_in = {about.genes_in!r}: of the genes that the study names, {n_here} are "
            f"{about.genes_in} of {path}, and {len(there)} are {other}, such as {there[:3]}; are genes in {other}? "
            f"Say genes_in = {other!r}"
        )
    rows, columns = sorted(found["rows"]), sorted(found["columns"])
    if "genes_in" not in about.model_fields_set and not n_here and len(rows) > len(columns):
        raise StudyError(
            f"expression.genes_in: {path} has {len(rows)} named rows, such as {rows[:3]}, and {len(columns)} columns, "
            f"such as {columns[:3]}. Which are the genes? Say genes_in = 'rows' or genes_in = 'columns'"
        )
