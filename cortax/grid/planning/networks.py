"""The jobs of a network study: genes read apart from each other, regressed in blocks, and what is made of all links."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cortax.errors import StudyError
from cortax.grid.planning.blocks import Block, cut_blocks, retired
from cortax.grid.planning.gene_names import GeneNames, Measured, choose_genes
from cortax.grid.planning.jobspec import JobSpec, Work, sorted_keys
from cortax.grid.planning.models import Past
from cortax.study import NetworkStudy
from cortax.study.network import Genes

__all__ = ["choose_both", "measure", "network_jobs"]

_EVERY = ["*"]


def network_jobs(
    study: NetworkStudy, root: Path, digest_of: Callable[[Path], str], past: Past | None = None
) -> list[JobSpec]:
    """List the jobs of a network study, each after those that it needs.

    Parameters
    ----------
    study, root, digest_of, past
        See `plan`. What was done before decides which genes are regressed together, never what is found.

    Raises
    ------
    CortaxError
        The expression matrix or a list of genes is missing or wrong, or a name in the study is no gene's.
    """
    measured = measure(study, root, digest_of)
    regulators, targets = choose_both(study, measured.names, root)
    expression = {**study.expression.model_dump(), "digest": digest_of(root / study.expression.file)}
    maker = _Maker(study, targets, measured, len(regulators), past)
    for forest in study.forests:
        maker.add(forest)
    return [
        JobSpec("expression", "expression", sorted_keys(expression)),
        _genes("regulators", None if _is_every(study.regulators) else regulators),
        *(job for method in ("genes", "regress", "rank", "graph") for job in maker.jobs if job.method == method),
        *_scores(study, root, digest_of, maker.jobs),
    ]


def measure(study: NetworkStudy, root: Path, digest_of: Callable[[Path], str]) -> Measured:
    """Return what the study's matrix has; it is read only where its content is new."""
    digest = digest_of(root / study.expression.file)
    return GeneNames(root / ".cortax" / "genes").of(root, study.expression, digest)


def choose_both(study: NetworkStudy, names: Sequence[str], root: Path) -> tuple[list[str], list[str]]:
    """Return the regulators and the targets of a study.

    Raises
    ------
    CortaxError
        See `choose_genes`; or the only regulator is the only target.
    """
    regulators = choose_genes("regulators", study.regulators, names, root)
    targets = choose_genes("targets", study.targets, names, root)
    if regulators == targets and len(targets) == 1:
        raise StudyError(f"regulators: {regulators} cannot regulate {targets}: a gene is no regulator of itself")
    return regulators, targets


def _is_every(asked: Genes) -> bool:
    return asked.file is None and asked.names == _EVERY


def _genes(called: str, names: Sequence[str] | None) -> JobSpec:
    """Return the job that takes genes out of the matrix: those of these names, or all of them."""
    options = {"genes": None if names is None else list(names)}
    return JobSpec(called, "genes", options, {"expression": "expression"})


class _Maker:
    def __init__(
        self,
        study: NetworkStudy,
        targets: Sequence[str],
        measured: Measured,
        n_regulators: int,
        past: Past | None,
    ) -> None:
        self._study, self._past = study, past
        self._there, self._shape = set(measured.names), (measured.n_samples, n_regulators)
        self._every = _is_every(study.regulators)
        # A gene is what it is called: there is nothing else to define.
        self._targets: dict[str, dict[str, Any]] = {name: {} for name in targets}
        self._read: dict[tuple[str, ...], str] = {}
        self.jobs: list[JobSpec] = []

    def add(self, forest: str) -> None:
        """Add the jobs of one forest, up to the graph."""
        options = {**self._study.forests[forest].model_dump(), "seed": self._study.seed}
        parts = [self._regress(forest, block, options) for block in self._blocks(forest, options)]
        self.jobs += parts
        inputs: dict[str, str | list[str]] = {"regulators": "regulators", "regress": [part.name for part in parts]}
        rank = sorted_keys({**_blocks_of(parts), "n_links": self._study.links.n_links})
        listed = {"regress": "blocks"}
        ranked = JobSpec(f"rank/{forest}", "rank", rank, inputs, listed, links=("links.parquet",), folder=(forest,))
        graph = sorted_keys(self._study.graph.model_dump())
        files = ("genes.tsv", "network.graphml", "network.tsv")
        drawn = JobSpec(f"graph/{forest}", "graph", graph, {"rank": ranked.name}, links=files, folder=(forest,))
        self.jobs += [ranked, drawn]

    def _blocks(self, forest: str, options: Mapping[str, Any]) -> list[Block]:
        """Cut the target genes; those that were regressed together in the same way stay together."""
        called = f"{self._study.name}/regress/{forest}"
        known: dict[str, Block] = {}
        for past_name, found in self._past.reusable("regress", called) if self._past else []:
            rest = {key: value for key, value in found.items() if key != "genes"}
            # A block of which a gene is gone cannot be read any more.
            if rest == options and self._there.issuperset(found["genes"]):
                name = past_name.removeprefix(called).removeprefix("/")
                known.setdefault(json.dumps(found["genes"]), Block(name, {gene: {} for gene in found["genes"]}))
        blocks = cut_blocks(self._targets, list(known.values()), most=self._study.grid.genes_per_job)
        if known and self._every and any(json.dumps(list(block.targets)) not in known for block in blocks):
            print(
                f"{self._study.name}: all genes are regulators: a new one changes every regression. Where [regulators] "
                "names them, new targets are all that is regressed"
            )
        return blocks

    def _regress(self, forest: str, block: Block, options: Mapping[str, Any]) -> JobSpec:
        called = f"{forest}/{block.name}".rstrip("/")
        names = sorted(block.targets)
        leave = sorted({*retired(block, self._targets), *(set(names) - set(block.takes))})
        n_samples, n_regulators = self._shape
        work = Work(options["method"], n_samples, n_regulators, {"regression": len(names)}, options["n_trees"], 1, 1)
        return JobSpec(
            f"regress/{called}",
            "regress",
            sorted_keys({**options, "genes": names}),
            {"regulators": "regulators", "targets": self._targets_of(called, names)},
            about={"pipeline": forest, "targets": names, "leave": leave},
            work=work,
        )

    def _targets_of(self, called: str, names: Sequence[str]) -> str:
        """Name of the job that takes these genes out of the matrix, which forests share."""
        key = tuple(names)
        if key not in self._read:
            self._read[key] = f"genes/{called}"
            self.jobs.append(_genes(self._read[key], names))
        return self._read[key]


def _scores(
    study: NetworkStudy, root: Path, digest_of: Callable[[Path], str], jobs: Sequence[JobSpec]
) -> list[JobSpec]:
    """Agreement of every forest with what is known, if the study says what that is."""
    if study.truth is None:
        return []
    parts = [job for job in jobs if job.method == "regress"]
    options = {**study.truth.model_dump(), "digest": digest_of(root / study.truth.file), "study": study.name}
    # A forest that lacks a block is not scored: a part of its targets would pass for all of them.
    whole = dict(Counter(job.about["pipeline"] for job in parts))
    options = sorted_keys({**options, **_blocks_of(parts), "n_blocks": whole})
    inputs: dict[str, str | list[str]] = {"regulators": "regulators", "regress": [job.name for job in parts]}
    listed = {"regress": "blocks"}
    return [JobSpec("scores", "network_scores", options, inputs, listed, links=("scores.parquet",))]


def _blocks_of(parts: Sequence[JobSpec]) -> dict[str, Any]:
    """Options of a job on regressions: names of them, `forest` or `forest/block`, and genes that it leaves out."""
    names = {part.name.partition("/")[2]: part.about["leave"] for part in parts}
    return {"blocks": list(names), "leave": {name: leave for name, leave in names.items() if leave}}
