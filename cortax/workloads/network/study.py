"""A study of gene regulatory networks: what a user asks for, read from a file with `kind = "network"`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cortax.study.section import Name, PageOptions, Section, Study, expand_paths

__all__ = ["Expression", "Forest", "Genes", "Graph", "Links", "NetworkGrid", "NetworkStudy", "Truth"]


class Expression(Section):
    """How much of each gene each sample has, in one file."""

    file: str
    genes_in: Literal["columns", "rows"] = "columns"
    names_in: str | None = None

    @field_validator("file")
    @classmethod
    def _place(cls, file: str) -> str:
        return expand_paths(file)


class Genes(Section):
    """Some of the genes, by patterns or by a file with a name in each line."""

    names: list[str] = Field(default=["*"], min_length=1)
    file: str | None = None

    @field_validator("file")
    @classmethod
    def _place(cls, file: str | None) -> str | None:
        return expand_paths(file)

    @model_validator(mode="after")
    def _one_source(self) -> Genes:
        if self.file is not None and "names" in self.model_fields_set:
            raise ValueError(f"names = {self.names} and file = {self.file!r}: give one of them")
        return self


class Forest(Section):
    """A way to regress a target gene on its regulators; see `cortax.workloads.network.forests`."""

    method: Literal["forest", "extra_trees", "grnboost", "lightgbm"] = "forest"
    n_trees: int = Field(default=1000, ge=1)
    max_features: Literal["sqrt", "all"] | Annotated[int, Field(ge=1)] = "sqrt"
    min_samples_leaf: int = Field(default=1, ge=1)


class Links(Section):
    """How many links are kept, the most important first."""

    n_links: int = Field(default=100_000, ge=1)


class Graph(Section):
    """Which of the kept links are edges: the first so many, or those of so much importance; all if neither is said."""

    n_links: int | None = Field(default=None, ge=1)
    threshold: float | None = Field(default=None, ge=0)


class Truth(Section):
    """A network that is known: regulator, target and perhaps 0 or 1 in each line."""

    file: str

    @field_validator("file")
    @classmethod
    def _place(cls, file: str) -> str:
        return expand_paths(file)


class NetworkGrid(Section):
    """How the work is cut into jobs; no number depends on it."""

    genes_per_job: int = Field(default=500, ge=1)


class NetworkStudy(Study):
    """Every target gene regressed on its regulators, and the links that are found so."""

    kind: Literal["network"]
    expression: Expression
    regulators: Genes = Genes()
    targets: Genes = Genes()
    forests: dict[Name, Forest] = Field(min_length=1)
    links: Links = Links()
    graph: Graph = Graph()
    truth: Truth | None = None
    grid: NetworkGrid = NetworkGrid()
    report: PageOptions = PageOptions()

    @model_validator(mode="after")
    def _edges_are_kept(self) -> NetworkStudy:
        if self.graph.n_links is not None and self.graph.n_links > self.links.n_links:
            raise ValueError(
                f"graph.n_links = {self.graph.n_links} are more than links.n_links = {self.links.n_links} that are kept"
            )
        return self
