"""The task of `regress`: each unit is one target gene, regressed on all regulators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import InputError
from cortax.payload import open_sealed, seal
from cortax.provenance import outputs
from cortax.workflow.task import Unit
from cortax.workloads.network.forests import ForestOptions, Regressions, Regulators, regress_gene, warm_up
from cortax.workloads.network.store import GeneValues, open_genes, read_cell, write_cell

__all__ = ["RegressionTask", "open_regression_task"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RegressionTask:
    """See `Task`: its values are importances of all regulators for a gene, see `gene_importances`.

    Attributes
    ----------
    problem : Regressions
        Of these.
    """

    regulators: GeneValues
    targets: GeneValues
    problem: Regressions

    @classmethod
    def of(cls, regulators: GeneValues, targets: GeneValues, options: ForestOptions) -> RegressionTask:
        """Make a task, and the machine code that all regressions share."""
        shared = Regulators.prepare(np.asarray(regulators.values).T, regulators.names)
        problem = Regressions(shared, targets.names, targets.values, options)
        warm_up(problem)
        return cls(regulators, targets, problem)

    def units(self) -> list[Unit]:
        """Return a unit for each gene: one tells nothing that another could use."""
        return [Unit((name,)) for name in self.targets.names]

    def do(self, unit: int) -> list[bytes]:
        """Regress a gene."""
        return [seal(self.targets.names[unit], write_cell(regress_gene(self.problem, unit)))]

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        names = {"regulators": self.regulators.names, "targets": self.targets.names}
        arrays = {"regulators": self.regulators.values, "targets": self.targets.values}
        return arrays, {**names, "options": asdict(self.problem.options)}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> RegressionTask:
        """See `Task`."""
        regulators, targets = (GeneValues(tuple(about[slot]), arrays[slot]) for slot in ("regulators", "targets"))
        return cls.of(regulators, targets, ForestOptions(**about["options"]))

    def read(self, values: Mapping[str, bytes]) -> list[Floats]:
        """Return the importances for every gene, in their order, of what `collect_task` returned.

        Raises ProjectError: a value is not what a worker sealed under this gene.
        """
        return [read_cell(open_sealed(name, values[name])) for name in self.targets.names]


def open_regression_task(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> RegressionTask:
    """Open the inputs of `regress`.

    Raises CortaxError: an input is not what its job saved, or the target genes are others than the options say.
    """
    outputs.check_all(jobs)
    targets = open_genes(jobs["targets"].path)
    if list(targets.names) != options["genes"]:
        raise InputError("the target genes are not those that are asked for")
    forest = ForestOptions(**{key: value for key, value in options.items() if key != "genes"})
    return RegressionTask.of(open_genes(jobs["regulators"].path), targets, forest)
