"""The cost table, `cortax/workloads/regions/cost_table.py`, from what the benchmarks and builds measured.

    python benchmarks/fit_costs.py [--seconds FILE] [--memory FILE] [--builds WORKDIR ...]

Reads the JSON lines of `bench_search.py` (default: benchmarks/search_costs.jsonl), fits seconds = a * N^b * p^c to the
fits and refits of every pipeline and task by least squares of logarithms, prints how well that does, and writes the
table. Exponents that the cases do not tell (one value of N or p, or fewer than three cases) are taken to be 1; of SVMs,
whose work is on a kernel of N x N, 2 and 0. None is let below 0.

Memory is fitted to the peaks of units of work: JSON lines of `bench_memory.py` and of builds
(benchmarks/memory_costs.jsonl), to which --builds adds what the jobs of a workdir recorded. Bytes = 8 * (a * N * p +
b * p^2 + c * N^2 + d), none below 0, by least squares of what each case is off in proportion; which arrays a pipeline
has is taken from its solver. No job runs again for it: the table decides the order of work and what a plan says. What
the files have no case of stays in the table as it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from cost_model import COSTS, collect
from scipy.optimize import nnls

from cortax.workloads.regions import cost_table

TABLE = Path(cost_table.__file__)
MEMORY = Path(__file__).with_name("memory_costs.jsonl")
HEAD = '''"""What fits and refits take on one core, and what a worker holds; written by `benchmarks/fit_costs.py`.

Seconds = a * N^b * p^c of one fit in a search of all configurations and targets together, and of one refit; N is the
number of subjects of the study, p of regions. Bytes of a worker beyond what it has from the start = 8 * (a * N * p
+ b * p^2 + c * N^2 + d), of one unit of work.
"""

'''

UNTOLD = {"svm": (2.0, 0.0)}
TELLING = 5e7  # bytes
# Which arrays grow with the study: copies of the regions, Gram matrices, kernels; and what each worker has, anyway.
ARRAYS = {"ridge": ("Np", "pp", "1"), "elastic": ("Np", "pp", "1"), "svm": ("Np", "NN", "1"), "lgbm": ("Np", "1")}


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


def fit_arrays(kind, cases):
    """Return a, b, c, d of bytes, and the largest factor by which a case is off."""
    n, p, found = np.array(cases, dtype=float).T
    sizes = 8 * np.column_stack([n * p, p * p, n * n, np.ones(len(n))])
    held = [place for place, name in enumerate(("Np", "pp", "NN", "1")) if name in ARRAYS[kind]]
    law = np.zeros(4)
    # Small cases count as much as large ones; what they come to is said by d.
    law[held], _ = nnls(sizes[:, held] / found[:, None], np.ones(len(found)))
    ratios = sizes @ law / found
    return *map(float, law), float(np.exp(np.abs(np.log(ratios)).max()))


def recorded(workdir):
    """Yield a record of each job of a workdir that had units of work: its pipeline, subjects, regions and peak."""
    for pool in sorted(workdir.glob("*/pool.json")):
        setup = json.loads((pool.parent / "setup.json").read_text())
        jobs, options = setup["jobs"], setup["options"]
        if setup["method"] == "evaluate":
            options = json.loads((workdir / jobs["tune"] / "setup.json").read_text())["options"]
        if setup["method"] in ("tune", "evaluate") and options["solver"] == "fast":
            n, p = np.load(workdir / jobs["regions"] / "regions.npy", mmap_mode="r").shape
            yield {"pipeline": options["kind"], "n": n, "p": p, "peak": json.loads(pool.read_text())["peak"]}


def memory_laws(path, workdirs):
    """Fit what a unit of work holds beyond what its worker had: the higher peak of a search and of its refit."""
    lines = path.read_text().splitlines() if path.exists() else []
    lines += [json.dumps(record) for workdir in workdirs for record in recorded(workdir)]
    path.write_text("".join(f"{line}\n" for line in dict.fromkeys(lines)))
    cases = {}
    for record in map(json.loads, lines):
        peak = record["peak"] if "peak" in record else max(record["search"], record["refit"]) - record["before"]
        # Of smaller ones what every worker has, sooner or later, is most.
        if peak > TELLING:
            # A search and its refit are two jobs of a build: the higher of them counts.
            same = cases.setdefault(record["pipeline"], {})
            same[record["n"], record["p"]] = max(peak, same.get((record["n"], record["p"]), 0))
    laws = dict(cost_table.MEMORY)
    print("\n| pipeline | cases | N * p | p^2 | N^2 | MB | worst case off by |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, found in sorted(cases.items()):
        *law, off = fit_arrays(kind, [(n, p, peak) for (n, p), peak in found.items()])
        a, b, c, d = laws[kind] = tuple(law)
        print(f"| {kind} | {len(found)} | {a:.2f} | {b:.2f} | {c:.2f} | {8 * d / 1e6:.0f} | x{off:.2f} |")
    return laws


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=Path, default=COSTS)
    parser.add_argument("--memory", type=Path, default=MEMORY)
    parser.add_argument("--builds", type=Path, nargs="*", default=[], help="workdirs, such as workdirs/main")
    asked = parser.parse_args()
    laws = {"FIT": dict(cost_table.FIT), "REFIT": dict(cost_table.REFIT)}
    # Targets of the same subjects; where only others were measured, those.
    lines = asked.seconds.read_text().splitlines()
    found = collect(map(json.loads, lines), True) | collect(map(json.loads, lines), False)
    print("| pipeline | task | what | cases | a | b | c | worst case off by |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for (kind, task, way, what), cases in sorted(found.items()):
        if way == "cortax":
            a, b, c, off = fit_law(kind, cases)
            print(f"| {kind} | {task} | {what} | {len(cases)} | {a:.2e} | {b:.2f} | {c:.2f} | x{off:.2f} |")
            laws[what.upper()][kind, task] = a, b, c
    text = HEAD
    for name, table in laws.items():
        rows = [f'    ("{k}", "{t}"): ({a:.3e}, {b:.3f}, {c:.3f}),\n' for (k, t), (a, b, c) in sorted(table.items())]
        text += f"{name}: dict[tuple[str, str], tuple[float, float, float]] = {{\n{''.join(rows)}}}\n"
    table = memory_laws(asked.memory, asked.builds)
    rows = [f'    "{kind}": ({a:.3f}, {b:.3f}, {c:.3f}, {d:.1f}),\n' for kind, (a, b, c, d) in sorted(table.items())]
    text += f"MEMORY: dict[str, tuple[float, float, float, float]] = {{\n{''.join(rows)}}}\n"
    TABLE.write_text(text)


if __name__ == "__main__":
    main()
