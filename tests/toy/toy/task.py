"""What the workers of a toy do: one number a unit."""

import time
from dataclasses import dataclass

import numpy as np

from cortax.payload import open_sealed, seal
from cortax.provenance.closure import find_root
from cortax.workflow.task import Unit


@dataclass(frozen=True, eq=False)
class CountTask:
    """Square numbers, and add what came before."""

    numbers: np.ndarray  # (n,)
    before: int

    def units(self):
        """Return a unit for each number."""
        return [Unit((f"number {number}",), cost=float(number)) for number in self.numbers]

    def do(self, unit):
        """Square one number; slowly where a test asks for that."""
        pause = find_root() / "pause"
        if pause.exists():
            time.sleep(float(pause.read_text()))
        number = int(self.numbers[unit])
        return [seal(f"number {number}", str(number**2 + self.before).encode())]

    def pack(self):
        """See `cortax.workflow.task.Task`."""
        return {"numbers": self.numbers}, {"before": self.before}

    @classmethod
    def unpack(cls, arrays, about):
        """See `cortax.workflow.task.Task`."""
        return cls(arrays["numbers"], about["before"])

    def read(self, values):
        """Return the number that every unit came to."""
        return [int(open_sealed(key, value)) for key, value in values.items()]
