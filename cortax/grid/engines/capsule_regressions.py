"""Regressions of genes as a capsule: what it is written from, and the work that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.networks.forests import ForestOptions, Regulators
from cortax.networks.regressions import Regressions, plan_regressions, regress_batch, warm_up
from cortax.networks.store import GeneValues, write_cell

__all__ = ["make", "write_regressions_capsule"]


def write_regressions_capsule(
    folder: Path, regulators: GeneValues, targets: GeneValues, options: ForestOptions, *, first: Iterable[str] = ()
) -> Ticket:
    """Write what workers need to regress genes.

    Parameters
    ----------
    folder : Path
        New, where all workers see it.
    regulators, targets : GeneValues
    options : ForestOptions
    first : iterable of str
        Modules that workers import before any other.
    """
    arrays = {"regulators": regulators.values, "targets": targets.values}
    about = {"regulators": regulators.names, "targets": targets.names, "options": asdict(options)}
    return write_capsule(folder, make=f"{__name__}:make", arrays=arrays, about=about, first=first)


def make(capsule: Capsule) -> Callable[[int], list[bytes]]:
    """Return the regressions of a batch by its number."""
    about, values = capsule.about, capsule.arrays
    problem = Regressions(
        regulators=Regulators.prepare(np.asarray(values["regulators"]).T, about["regulators"]),
        names=tuple(about["targets"]),
        values=values["targets"],
        options=ForestOptions(**about["options"]),
    )
    batches = plan_regressions(problem)
    warm_up(problem)

    def work(number: int) -> list[bytes]:
        batch = batches[number]
        done = regress_batch(problem, batch)
        return [write_cell(done[target, batch.outer]) for target in batch.targets]

    return work
