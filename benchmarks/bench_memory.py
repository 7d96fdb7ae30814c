"""Peak memory of one batch of every pipeline: a search of one outer fold, and the refit of it.

    python benchmarks/bench_memory.py [--n 9400 ...] [--p 6000 ...] [--targets 45] [--configs 3] [--pipeline NAME ...]
                                      [--json FILE]

Each case is a process of its own: the regions are made there (float32, as jobs have them), then as many targets as
a worker takes at once are searched on all inner folds and refitted. Fewer configurations than a study has take less
time and the same memory: only validation scores grow with them, and those of 60 configurations are a few megabytes.
--json appends the bytes of each case to a file, which `fit_costs.py` reads.
"""

from __future__ import annotations

import _one_thread  # noqa: F401  isort: skip
import argparse
import itertools
import json
import multiprocessing
import re
import time
from pathlib import Path

from _search_data import make_case

from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.solvers import plan_batches, search_batch, warm_up

TASKS = ("regression", "classification")


def peak():
    """Bytes that this process has held at most since it asked last, and bytes that it holds."""
    found = dict(re.findall(r"(VmHWM|VmRSS):\s+(\d+) kB", Path("/proc/self/status").read_text()))
    Path("/proc/self/clear_refs").write_text("5")
    return 1024 * int(found["VmHWM"]), 1024 * int(found["VmRSS"])


def measure(kind, task, n, p, given, answers):
    case = make_case(kind, task, n, p, n_targets=given.targets, n_configs=given.configs, n_inner=3)
    warm_up(case.problem, case.pipeline)
    batch = plan_batches(case.problem)[0]
    (_, before), start = peak(), time.process_time()
    found = search_batch(case.problem, batch, case.pipeline)
    searched, _ = peak()
    evaluate_batch(
        case.problem,
        batch,
        case.pipeline,
        scores={t: found[t, 0].scores for t in batch.targets},
        configs=dict.fromkeys(batch.targets, case.configs),
    )
    answers.send((len(batch.targets), before, searched, peak()[0], time.process_time() - start))


def in_a_process(kind, task, n, p, given):
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=measure, args=(kind, task, n, p, given, send))
    child.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        raise SystemExit(f"{kind}, {task}, {n} x {p}: ended without an answer") from None
    finally:
        child.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[9400])
    parser.add_argument("--p", type=int, nargs="+", default=[6000])
    parser.add_argument("--targets", type=int, default=45)
    parser.add_argument("--configs", type=int, default=3)
    parser.add_argument("--pipeline", nargs="+", default=["ridge", "elastic", "svm", "lgbm"])
    parser.add_argument("--task", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--json", type=Path, help="a file to append the bytes to")
    given = parser.parse_args()
    print(f"{given.targets} targets, {given.configs} configurations; GiB")
    print("| pipeline | task | N | p | targets at once | data alone | peak of the search | of the refit | CPU s |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, task, n, p in itertools.product(given.pipeline, given.task, given.n, given.p):
        together, before, searched, refitted, seconds = in_a_process(kind, task, n, p, given)
        sizes = " | ".join(f"{size / 2**30:.2f}" for size in (before, searched, refitted))
        print(f"| {kind} | {task} | {n} | {p} | {together} | {sizes} | {seconds:.0f} |", flush=True)
        if given.json:
            found = {"pipeline": kind, "task": task, "n": n, "p": p, "n_targets": together}
            found |= {"before": before, "search": searched, "refit": refitted}
            with given.json.open("a") as file:
                file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
