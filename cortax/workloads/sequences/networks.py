"""What a network is: its size, its weights as one row of numbers, and the weights that a seed begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MODULES", "ModuleNetwork", "NetworkSize", "code_of", "initial_parameters", "model_key"]

# What trains PyTorch modules; no import statement leads there, see `code_of`.
MODULES = "cortax.workloads.sequences.modules"


@dataclass(frozen=True)
class NetworkSize:
    """An LSTM of one layer with a linear head a target.

    A model's parameters are a row of `n_parameters` numbers: the weights of the cell, of shape
    (n_inputs + n_hidden + 1, 4 n_hidden), columns i, f, g, o; then those of the heads, of shape
    (n_hidden + 1, n_outputs). The last row of each is the bias. What they do is in
    `cortax.workloads.sequences.passes`.
    """

    n_inputs: int
    n_hidden: int
    n_outputs: int

    @property
    def cell(self) -> tuple[int, int]:
        """Shape of the weights of the cell."""
        return self.n_inputs + self.n_hidden + 1, 4 * self.n_hidden

    @property
    def heads(self) -> tuple[int, int]:
        """Shape of the weights of the heads."""
        return self.n_hidden + 1, self.n_outputs

    @property
    def n_parameters(self) -> int:
        """All weights of a model."""
        return int(np.prod(self.cell) + np.prod(self.heads))

    def split(self, parameters: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return views of the weights of cell and heads; `parameters`: an array whose first axis are parameters."""
        n, rest = int(np.prod(self.cell)), parameters.shape[1:]
        return parameters[:n].reshape(*self.cell, *rest), parameters[n:].reshape(*self.heads, *rest)


@dataclass(frozen=True)
class ModuleNetwork:
    """A PyTorch module that a study names, see `cortax.workloads.sequences.modules`.

    Attributes
    ----------
    module : str
        "package.file:Class", which is made as Class(n_inputs, n_outputs, **arguments).
    n_inputs, n_outputs : int
        It is called with (n_steps, n_windows, n_inputs), and returns (n_steps, n_windows, n_outputs).
    arguments : mapping
        JSON values.
    """

    module: str
    n_inputs: int
    n_outputs: int
    arguments: Mapping[str, Any] = field(default_factory=dict)


def initial_parameters(size: NetworkSize, seed: int) -> npt.NDArray[np.float64]:
    """Return the weights that a model begins with, float64 of shape (n_parameters,).

    Uniform between -1 / sqrt(n_hidden) and 1 / sqrt(n_hidden), PyTorch's default for `nn.LSTM` and for heads of its
    outputs. Models that differ by the factor of their losses alone are to have one seed: they then begin alike, and
    differences between them are paired.
    """
    bound = size.n_hidden**-0.5
    return np.random.default_rng(seed).uniform(-bound, bound, size.n_parameters)


def code_of(options: Mapping[str, Any]) -> list[str]:
    """Return what networks of such options (`network` of `train`) are trained by, and no import of cortax leads to.

    For `class_code`.
    """
    return [options["module"], MODULES] if options["kind"] == "torch" else []


def model_key(factor: float, seed: int) -> str:
    """Return what a model is called as a unit."""
    return f"factor-{float(factor)}-seed-{seed}"
