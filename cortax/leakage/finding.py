"""What a guard against leakage found, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CHANCE", "Finding"]

# Nothing is reported of which as many or more are expected by chance in the whole table.
CHANCE = 1e-3


@dataclass(frozen=True)
class Finding:
    """One way in which held-out data may reach a model.

    Attributes
    ----------
    check : {"fit", "duplicate", "target"}
        What is fitted depends on test rows; one subject is in two groups; a column knows a target.
    message : str
        What was found, and where.
    chance : float
        How many such findings are expected by chance where nothing is wrong; 0 where chance has no part in it.
    """

    check: Literal["fit", "duplicate", "target"]
    message: str
    chance: float = 0.0
