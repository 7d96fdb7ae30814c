"""The jobs of a network study: genes read apart from each other, regressed in blocks, and what is made of all links."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.errors import InputError, StudyError, choices
from cortax.provenance.closure import class_code
from cortax.provenance.files import text_digest
from cortax.provenance.memory import Memory
from cortax.report.plan import report_job
from cortax.study.patterns import Patterns
from cortax.study.section import relative_paths
from cortax.workflow.plan.blocks import Block, cut_blocks, retired
from cortax.workflow.plan.jobspec import JobSpec, Work, sorted_keys
from cortax.workflow.plan.past import PastJobs
from cortax.workflow.workload import Planning
from cortax.workloads.network.study import Expression, Genes, NetworkStudy

__all__ = ["GeneNames", "choose_both", "choose_genes", "listed_names", "measure", "network_jobs"]

_READER = "cortax.workloads.network.expression:read_expression"


@dataclass(frozen=True)
class Measured:
    """What a matrix has: names of its genes, in its order, and the number of its samples."""

    names: tuple[str, ...]
    n_samples: int


class GeneNames:
    """Names of genes by the content of their file.

    Parameters
    ----------
    folder : Path
        Where they are remembered, see `Memory`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, root: Path, asked: Expression, digest: str) -> Measured:
        """Return what the file of a study has, which is read where it is not known by its digest.

        Raises InputError: it is no matrix of expression.
        """
        # Another way to read may find other genes in the same file.
        code = class_code([_READER])
        key = text_digest(json.dumps([digest, asked.genes_in, asked.names_in, code], sort_keys=True))
        memory = Memory(self._folder / f"{key[:40]}.json")
        if names := memory.get("names"):
            return Measured(tuple(names), int(memory.get("n_samples")))
        # Imported here: a build of nothing new does not wait for what reads files.
        from cortax.workloads.network.expression import read_expression

        expression = read_expression(root / asked.file, genes_in=asked.genes_in, names_in=asked.names_in)
        measured = Measured(expression.genes, len(expression.samples))
        memory.note("names", measured.names)
        memory.note("n_samples", measured.n_samples)
        memory.save()
        return measured


def choose_genes(key: str, asked: Genes, names: Sequence[str], root: Path) -> list[str]:
    """Return the genes that a section of a study asks for, sorted: their order in files is of no account.

    `key`: the section. `names`: all genes of the matrix. `root`: what the path of a list is relative to. Raises
    CortaxError: a pattern fits no gene; or the list cannot be read, is empty, or has none of the genes. A list may name
    genes that the matrix does not have, as lists of transcription factors do: they are told and left out.
    """
    if asked.file is not None:
        return _listed(key, root / asked.file, names)
    chosen: set[str] = set()
    there = set(names)
    for pattern in asked.names:
        found = [pattern] if pattern in there else Patterns((pattern,)).select(names)
        if not found:
            raise StudyError(f"{key}.names: no gene is called so: {_nearest(pattern, names)}")
        chosen.update(found)
    return sorted(chosen)


def listed_names(path: Path, key: str) -> set[str]:
    """Return the names in a file with one in each line. Raises InputError: it cannot be read."""
    from cortax.data.textfiles import read_text

    try:
        lines = read_text(path, "list of genes").split("\n")
    except InputError as error:
        raise InputError(f"{key}.file cannot be read: {error}") from error
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def _listed(key: str, path: Path, names: Sequence[str]) -> list[str]:
    wanted = listed_names(path, key)
    chosen = wanted.intersection(names)
    if not chosen:
        raise InputError(
            f"{path}: {key}.file names {len(wanted)} genes, none of which is among the {len(names)} there are"
        )
    if absent := sorted(wanted - chosen):
        print(f"{path}: {len(absent)} of {len(wanted)} genes are not in the matrix and left out: {_some(absent)}")
    return sorted(chosen)


def _nearest(name: str, names: Collection[str]) -> str:
    # Of tens of thousands of names nobody wants to read all.
    return choices(name, names) if len(names) <= 30 else f"got {name!r}, there are {len(names)}: {_some(sorted(names))}"


def _some(names: Sequence[str], n: int = 5) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


_EVERY = ["*"]


def network_jobs(study: NetworkStudy, planning: Planning) -> list[JobSpec]:
    """List the jobs of a network study, each after those that it needs.

    `planning`: what was done before decides which genes are regressed together, never what is found. Raises
    CortaxError: the expression matrix or a list of genes is missing or wrong, or a name in the study is no gene's.
    """
    root, digest_of = planning.root, planning.digest_of
    measured = measure(study, root, digest_of)
    regulators, targets = choose_both(study, measured.names, root)
    about = relative_paths(study.expression.model_dump(), root)
    expression = {**about, "digest": digest_of(root / study.expression.file)}
    maker = _ForestJobs(study, targets, measured, len(regulators), planning.past)
    for forest in study.forests:
        maker.add(forest)
    jobs = [
        JobSpec("expression", "expression", sorted_keys(expression)),
        _genes("regulators", None if _is_every(study.regulators) else regulators),
        *(job for method in ("genes", "regress", "rank", "graph") for job in maker.jobs if job.method == method),
        *_compared(study, planning, maker),
    ]
    return [*jobs, report_job(study, jobs, planning, "network_report")] if study.report.enabled else jobs


def measure(study: NetworkStudy, root: Path, digest_of: Callable[[Path], str]) -> Measured:
    """Return what the study's matrix has; it is read only where its content is new."""
    digest = digest_of(root / study.expression.file)
    return GeneNames(root / ".cortax" / "genes").of(root, study.expression, digest)


def choose_both(study: NetworkStudy, names: Sequence[str], root: Path) -> tuple[list[str], list[str]]:
    """Return the regulators and the targets of a study.

    Raises CortaxError: see `choose_genes`; or the only regulator is the only target.
    """
    regulators = choose_genes("regulators", study.regulators, names, root)
    targets = choose_genes("targets", study.targets, names, root)
    if regulators == targets and len(targets) == 1:
        raise StudyError(f"regulators: {regulators} cannot regulate {targets}: a gene is no regulator of itself")
    return regulators, targets


def _is_every(asked: Genes) -> bool:
    return asked.file is None and asked.names == _EVERY


def _genes(called: str, names: Sequence[str] | None, key: Mapping[str, str] | None = None) -> JobSpec:
    """Return the job that takes genes out of the matrix: those of these names, or all of them."""
    options = {"genes": None if names is None else list(names)}
    return JobSpec(called, "genes", options, {"expression": "expression"}, key=key or {})


class _ForestJobs:
    def __init__(
        self,
        study: NetworkStudy,
        targets: Sequence[str],
        measured: Measured,
        n_regulators: int,
        past: PastJobs | None,
    ) -> None:
        self._study, self._past = study, past
        self._there, self._shape = set(measured.names), (measured.n_samples, n_regulators)
        self._every = _is_every(study.regulators)
        # A gene is what it is called: there is nothing else to define.
        self._targets: dict[str, dict[str, Any]] = {name: {} for name in targets}
        self._read: dict[tuple[str, ...], str] = {}
        self.jobs: list[JobSpec] = []
        self.left_out: dict[str, list[str]] = {}

    def add(self, forest: str) -> None:
        """Add the jobs of one forest, up to the graph."""
        options = {**self._study.forests[forest].model_dump(), "seed": self._study.seed}
        parts = []
        for block in self._blocks(forest, options):
            parts.append(self._regress(forest, block, options))
            self.left_out[parts[-1].name] = self._left_out(block)
        self.jobs += parts
        inputs: dict[str, str | list[str]] = {"regulators": "regulators", "regress": [part.name for part in parts]}
        rank = sorted_keys({**_blocks_of(parts, self.left_out), "n_links": self._study.links.n_links})
        ranked = JobSpec(
            f"rank/{forest}",
            "rank",
            rank,
            inputs,
            optional={"regress": "blocks"},
            key={"forest": forest},
            links=("links.parquet",),
            folder=(forest,),
        )
        graph = sorted_keys(self._study.graph.model_dump())
        files = ("genes.tsv", "network.graphml", "network.tsv")
        drawn = JobSpec(
            f"graph/{forest}",
            "graph",
            graph,
            {"rank": ranked.name},
            key={"forest": forest},
            links=files,
            folder=(forest,),
        )
        self.jobs += [ranked, drawn]

    def _blocks(self, forest: str, options: Mapping[str, Any]) -> list[Block]:
        """Cut the target genes; those that were regressed together in the same way stay together."""
        known: dict[str, Block] = {}
        past = self._past.reusable("regress", self._study.name, {"forest": forest}) if self._past else []
        for key, found in past:
            rest = {option: value for option, value in found.items() if option != "genes"}
            # A block of which a gene is gone cannot be read any more.
            if rest == options and self._there.issuperset(found["genes"]):
                block = Block(key.get("block", ""), {gene: {} for gene in found["genes"]})
                known.setdefault(json.dumps(found["genes"]), block)
        blocks = cut_blocks(self._targets, list(known.values()), most=self._study.grid.genes_per_job)
        if known and self._every and any(json.dumps(list(block.targets)) not in known for block in blocks):
            print(
                f"{self._study.name}: all genes are regulators: a new one changes every regression. Where [regulators] "
                "names them, new targets are all that is regressed"
            )
        return blocks

    def _regress(self, forest: str, block: Block, options: Mapping[str, Any]) -> JobSpec:
        key = {"forest": forest} | ({"block": block.name} if block.name else {})
        names = sorted(block.targets)
        n_samples, n_regulators = self._shape
        return JobSpec(
            "/".join(["regress", *key.values()]),
            "regress",
            sorted_keys({**options, "genes": names}),
            {"regulators": "regulators", "targets": self._targets_of(key, names)},
            key=key,
            covers={"target": names},
            work=_work(forest, options["n_trees"], n_samples, n_regulators, len(names)),
        )

    def _left_out(self, block: Block) -> list[str]:
        """Genes of a block that the study does not ask for, or takes from another block."""
        return sorted({*retired(block, self._targets), *(block.targets.keys() - set(block.takes))})

    def _targets_of(self, block: Mapping[str, str], names: Sequence[str]) -> str:
        """Name of the job that takes these genes out of the matrix, which forests share."""
        key = tuple(names)
        if key not in self._read:
            self._read[key] = "/".join(["genes", *block.values()])
            self.jobs.append(_genes(self._read[key], names, block))
        return self._read[key]


def _work(forest: str, n_trees: int, n_samples: int, n_regulators: int, n_genes: int) -> Work:
    """Expected work of regressions: a guess, until a build has measured it. A regression has as many fits as trees."""
    size = max(n_samples, 1) * max(n_regulators, 1)
    return Work(
        group=forest,
        n_units=n_genes,
        batches=((n_genes, n_trees * 1e-7 * size),),
        unit_bytes=24.0 * size,
        shared_bytes=4.0 * size,
    )


def _compared(study: NetworkStudy, planning: Planning, forests: _ForestJobs) -> list[JobSpec]:
    """Agreement of every forest with what is known, if the study says what that is."""
    if study.truth is None:
        return []
    parts = [job for job in forests.jobs if job.method == "regress"]
    digest = planning.digest_of(planning.root / study.truth.file)
    options = {**relative_paths(study.truth.model_dump(), planning.root), "digest": digest, "study": study.name}
    # A forest that lacks a block is not scored: a part of its targets would pass for all of them.
    n_blocks = dict(Counter(job.key["forest"] for job in parts))
    options = sorted_keys({**options, **_blocks_of(parts, forests.left_out), "n_blocks": n_blocks})
    inputs: dict[str, str | list[str]] = {"regulators": "regulators", "regress": [job.name for job in parts]}
    optional = {"regress": "blocks"}
    return [
        JobSpec("scores", "network_scores", options, inputs, optional, links=("scores.parquet",)),
        JobSpec("curves", "network_curves", options, inputs, optional, links=("curves.parquet",)),
    ]


def _blocks_of(parts: Sequence[JobSpec], left_out: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Options of a job on regressions: the forest of each, and its genes that are not asked for."""
    return {"blocks": [{"forest": part.key["forest"], "left_out": list(left_out[part.name])} for part in parts]}
