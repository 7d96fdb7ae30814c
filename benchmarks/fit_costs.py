"""The cost table of the plan, `cortax/grid/planning/cost_table.py`, from what `bench_search.py` measured.

    python benchmarks/fit_costs.py [FILE]

Reads the JSON lines of the benchmark (default: benchmarks/search_costs.jsonl), fits seconds = a * N^b * p^c to the fits
and refits of every pipeline and task by least squares of logarithms, prints how well that does, and writes the table.
Exponents that the cases do not tell (one value of N or p, or fewer than three cases) are taken to be 1; of SVMs, whose
work is on a kernel of N x N, 2 and 0. None is let below 0. No job runs again for it: the table decides the order of
work only. What the file has no case of stays in the table as it was.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from cost_model import COSTS, collect

from cortax.grid.planning import cost_table

TABLE = Path(__file__).resolve().parents[1] / "cortax" / "grid" / "planning" / "cost_table.py"
HEAD = '''"""Seconds = a * N^b * p^c of one fit and of one refit, on one core; written by `benchmarks/fit_costs.py`.

N is the number of subjects of the study, p of regions; of a fit in a search of all configurations and targets together.
"""

'''


UNTOLD = {"svm": (2.0, 0.0)}


def fit_law(kind, cases):
    """Return a, b, c and the largest factor by which a case is off."""
    exponents = np.array(UNTOLD.get(kind, (1.0, 1.0)))
    logs = np.log(cases)
    free = [i for i in (0, 1) if np.ptp(logs[:, i]) and len(cases) > 2]
    while True:
        told = [i for i in (0, 1) if i not in free]
        rest = logs[:, 2] - logs[:, told] @ exponents[told]
        solved = np.linalg.lstsq(np.column_stack([np.ones(len(logs)), logs[:, free]]), rest, rcond=None)[0]
        negative = [i for i, exponent in zip(free, solved[1:], strict=True) if exponent < 0]
        if not negative:
            break
        exponents[negative] = 0
        free = [i for i in free if i not in negative]
    exponents[free] = solved[1:]
    off = np.abs(logs[:, 2] - solved[0] - logs[:, :2] @ exponents).max()
    return float(np.exp(solved[0])), *map(float, exponents), float(np.exp(off))


def main():
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else COSTS
    # Targets of the same subjects; where only others were measured, those.
    lines = path.read_text().splitlines()
    found = collect(map(json.loads, lines), True) | collect(map(json.loads, lines), False)
    laws = {"fit": dict(cost_table.FIT), "refit": dict(cost_table.REFIT)}
    print("| pipeline | task | what | cases | a | b | c | worst case off by |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for (kind, task, way, what), cases in sorted(found.items()):
        if way == "cortax":
            a, b, c, off = fit_law(kind, cases)
            print(f"| {kind} | {task} | {what} | {len(cases)} | {a:.2e} | {b:.2f} | {c:.2f} | x{off:.2f} |")
            laws[what][kind, task] = a, b, c
    text = HEAD
    for what, table in laws.items():
        rows = [f'    ("{k}", "{t}"): ({a:.3e}, {b:.3f}, {c:.3f}),\n' for (k, t), (a, b, c) in sorted(table.items())]
        text += f"{what.upper()}: dict[tuple[str, str], tuple[float, float, float]] = {{\n{''.join(rows)}}}\n"
    TABLE.write_text(text)


if __name__ == "__main__":
    main()
