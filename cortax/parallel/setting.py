"""What is varied, as values: settings, and the work that is measured in each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cortax.errors import ProjectError, choices
from cortax.grid.engines import ENGINES
from cortax.parallel.cases import Case

__all__ = ["BACKENDS", "Load", "Setting", "read_load", "write_load"]

# Where workers may come from on one machine: those of builds, and threads of one process, which builds do not use.
BACKENDS = ("slices", "threads", *(name for name in ENGINES if name != "slurm"))


@dataclass(frozen=True, order=True)
class Setting:
    """What a fresh interpreter is needed for, as libraries read it when they are loaded.

    Attributes
    ----------
    backend : str
        One of `BACKENDS`.
    processes : int
        How many units are worked on at once; of "threads" they are threads.
    blas_threads : int
        How many threads BLAS and OpenMP have in each.

    Raises
    ------
    ProjectError
        There is no such back-end, or a number is below 1.
    """

    backend: str
    processes: int
    blas_threads: int = 1

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ProjectError(f"backend: {choices(self.backend, BACKENDS)}")
        if min(self.processes, self.blas_threads) < 1:
            raise ProjectError(f"processes and BLAS threads must be 1 or more; got {self}")

    def __str__(self) -> str:
        return f"{self.backend}, {self.processes} x {self.blas_threads}"


@dataclass(frozen=True)
class Load:
    """Work that is measured as a whole: a case, and how many units of it."""

    case: Case
    n_units: int


def write_load(load: Load) -> dict[str, Any]:
    """Return a load as JSON values."""
    return asdict(load)


def read_load(content: dict[str, Any]) -> Load:
    """Return the load that `write_load` wrote."""
    return Load(Case(**content["case"]), content["n_units"])
