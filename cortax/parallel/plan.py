"""Which settings are measured with which work, for which question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cortax.errors import ProjectError, choices
from cortax.parallel.cases import FOREST, PIPELINE_NAMES, SIZES, Case, check_names
from cortax.parallel.setting import Load, Setting

__all__ = ["BLAS_PIPELINES", "PARTS", "Scope", "levels", "make_plan", "worker_counts"]

# Questions: which back-end and how many workers; BLAS threads; jobs of an estimator; how it scales.
PARTS = ("engines", "blas", "jobs", "scaling")
# Those whose time is spent in BLAS, at least in part.
BLAS_PIPELINES = ("ridge", "elastic", "svm")

Plan = dict[Setting, list[Load]]


def levels(n_cores: int) -> list[int]:
    """Return the numbers that tables cross: one, as many as there are cores, and twice and four times as many.

    >>> levels(2)
    [1, 2, 4, 8]
    """
    return sorted({1, n_cores, 2 * n_cores, 4 * n_cores})


def worker_counts(n_cores: int) -> list[int]:
    """Return the numbers of workers of a scaling curve: each up to eight, then powers of two, and all cores.

    >>> worker_counts(24)
    [1, 2, 3, 4, 5, 6, 7, 8, 16, 24]
    """
    powers = [2**k for k in range(4, n_cores.bit_length())]
    return sorted({*range(1, min(n_cores, 8) + 1), *powers, n_cores})


@dataclass(frozen=True)
class Scope:
    """What is asked for.

    Attributes
    ----------
    n_cores : int
    current : Setting
        How a build would work now: it is always measured.
    parts : sequence of str
        Some of `PARTS`.
    backends, pipelines, sizes : sequences of str
        What the parts are narrowed to.
    quick : bool
        Only the first part's chief settings.

    Raises
    ------
    ProjectError
        There is no such part, pipeline or size.
    """

    n_cores: int
    current: Setting
    parts: Sequence[str] = PARTS
    backends: Sequence[str] = ("slices", "loky", "threads")
    pipelines: Sequence[str] = PIPELINE_NAMES
    sizes: Sequence[str] = SIZES
    quick: bool = False

    def __post_init__(self) -> None:
        for part in self.parts:
            if part not in PARTS:
                raise ProjectError(f"part: {choices(part, PARTS)}")
        check_names(self.pipelines, self.sizes)

    @property
    def n_units(self) -> int:
        """Units of a fixed amount of work: some for every worker, however many there are."""
        return (4 if self.quick or self.n_cores > 4 else 8) * self.n_cores

    def loads(self, pipelines: Iterable[str] = PIPELINE_NAMES, jobs: int = 1, n_units: int | None = None) -> list[Load]:
        """Return the work of some pipelines, of those that are asked for, at every size."""
        wanted = [name for name in pipelines if name in self.pipelines]
        return [Load(Case(name, size, jobs), n_units or self.n_units) for name in wanted for size in self.sizes]


@dataclass
class _Collected:
    plan: Plan = field(default_factory=dict)

    def add(self, setting: Setting, loads: Iterable[Load]) -> None:
        known = self.plan.setdefault(setting, [])
        known += [load for load in loads if load not in known]


def make_plan(scope: Scope) -> Plan:
    """Return for every setting, in order, the work that is measured in it; what several parts ask for is there once."""
    found = _Collected()
    # First what all others are compared with: time may be short.
    found.add(scope.current, scope.loads())
    found.add(Setting("slices", 1), scope.loads())
    parts = {"engines": _engines, "blas": _blas, "jobs": _jobs, "scaling": _scaling}
    for part in scope.parts:
        parts[part](scope, found)
    return {setting: loads for setting, loads in found.plan.items() if loads}


def _engines(scope: Scope, found: _Collected) -> None:
    n = scope.n_cores
    for backend in scope.backends:
        whole = backend == "slices" or not scope.quick
        # Starting fresh processes for every case takes most of a minute.
        found.add(Setting(backend, n), scope.loads(PIPELINE_NAMES if whole else ("ridge", FOREST)))
        for processes in (1, n) if whole else ():
            # On little time only where it matters.
            found.add(Setting(backend, processes, n), scope.loads(BLAS_PIPELINES if scope.quick else PIPELINE_NAMES))
            found.add(Setting(backend, processes), scope.loads([FOREST], jobs=n))
        # Half as many: two threads of a core may be no more than one.
        for processes in (*(() if scope.quick else (1, max(1, n // 2), 2 * n)), 4 * n) if whole else ():
            found.add(Setting(backend, processes), scope.loads())


def _blas(scope: Scope, found: _Collected) -> None:
    for processes in levels(scope.n_cores):
        for threads in levels(scope.n_cores):
            found.add(Setting("slices", processes, threads), scope.loads(BLAS_PIPELINES))


def _jobs(scope: Scope, found: _Collected) -> None:
    for processes in levels(scope.n_cores):
        for jobs in levels(scope.n_cores):
            found.add(Setting("slices", processes), scope.loads([FOREST], jobs=jobs))


def _scaling(scope: Scope, found: _Collected) -> None:
    share = scope.n_units // scope.n_cores
    for backend in scope.backends:
        for workers in worker_counts(scope.n_cores):
            found.add(Setting(backend, workers), scope.loads())
            found.add(Setting(backend, workers), scope.loads(n_units=share * workers))
