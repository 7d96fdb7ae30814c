"""What the last build of a network study found, for people at a terminal."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cortax.errors import ProjectError, choices
from cortax.grid.results import build_log
from cortax.project import jobs_folder
from cortax.provenance import outputs

__all__ = ["TABLES", "is_network", "network_table"]

# What can be looked up: the method whose jobs have it, and their file.
TABLES = {
    "links": ("rank", "links.parquet"),
    "genes": ("graph", "genes.tsv"),
    "scores": ("scores", "scores.parquet"),
    "timings": ("timings", "timings.parquet"),
}
_OF_NETWORKS = {"rank", "timings"}
# What a study says so that there is such a table.
_ASKED = {"scores": "[truth]", "timings": 'kind = "network-scaling"'}


def is_network(root: Path, study: str) -> bool:
    """Say whether a study has been built, and is one of networks."""
    if not (root / "results" / study / "build.json").exists():
        return False
    return any(name.partition("/")[0] in _OF_NETWORKS for name in build_log(root, study)["jobs"])


def network_table(root: Path, study: str, what: str) -> pd.DataFrame:
    """Return a table of the last finished build of a network study: all forests, one after the other.

    Parameters
    ----------
    root : Path
        The project.
    study : str
    what : {"links", "genes", "scores", "timings"}
        The links that are kept, the genes of the graph, the agreement with what is known, or how long networks took.

    Returns
    -------
    DataFrame
        forest, and for links: rank, regulator, target, importance; for genes see `cortax.networks.graphs.node_table`;
        for scores see `cortax.networks.truth.NetworkScores`; for timings `cortax.parallel.network_table`.

    Raises
    ------
    ProjectError
        The study has not been built here, is not one of networks, or has no such table, or it was altered since.
    """
    if what not in TABLES:
        raise ProjectError(f"table: {choices(what, TABLES)}")
    jobs = build_log(root, study)["jobs"]
    if not is_network(root, study):
        raise ProjectError(f"study {study!r} is not one of networks; `cortax results {study}` has its scores")
    method, file = TABLES[what]
    parts = []
    for name, job in jobs.items():
        if name.partition("/")[0] == method:
            folder = jobs_folder(root) / str(job)
            outputs.check(folder)
            parts.append(_read(folder / file, name.partition("/")[2]))
    if not parts:
        raise ProjectError(
            f"the last build of study {study!r} has no {what}: is {_ASKED.get(what, 'kind = network')} in its file? "
            f"If so, `cortax errors {study}` says what failed"
        )
    return pd.concat(parts, ignore_index=True)


def _read(path: Path, forest: str) -> pd.DataFrame:
    if path.suffix == ".tsv":
        table = pd.read_csv(path, sep="\t", dtype={"gene": str}, keep_default_na=False)
    else:
        table = pd.read_parquet(path)
    if "regulator" in table:
        table.insert(0, "rank", range(1, len(table) + 1))
    if forest:
        table.insert(0, "forest", forest)
    return table
