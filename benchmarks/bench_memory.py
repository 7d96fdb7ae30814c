"""Peak memory of one batch of every pipeline: a search of one outer fold, and the refit of it.

    python benchmarks/bench_memory.py [--n 9400] [--p 6000] [--targets 45] [--configs 3] [--pipeline NAME ...]

Each case is a process of its own: the regions are made there (float32, as jobs have them), then as many targets as
a worker takes at once are searched on all inner folds and refitted. Fewer configurations than a study has take less
time and the same memory: only validation scores grow with them, and those of 60 configurations are a few megabytes.
"""

from __future__ import annotations

import _one_thread  # noqa: F401  isort: skip
import argparse
import multiprocessing
import resource
import time

from _search_data import make_case

from cortax.search.refit import evaluate_batch
from cortax.search.solvers import plan_batches, search_batch, warm_up

TASKS = ("regression", "classification")


def gigabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(kind, task, given, answers):
    case = make_case(kind, task, given.n, given.p, n_targets=given.targets, n_configs=given.configs, n_inner=3)
    warm_up(case.problem, case.pipeline)
    batch = plan_batches(case.problem)[0]
    before, start = gigabytes(), time.process_time()
    found = search_batch(case.problem, batch, case.pipeline)
    searched = gigabytes()
    evaluate_batch(
        case.problem,
        batch,
        case.pipeline,
        scores={t: found[t, 0].scores for t in batch.targets},
        configs=dict.fromkeys(batch.targets, case.configs),
    )
    answers.send((len(batch.targets), before, searched, gigabytes(), time.process_time() - start))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=9400)
    parser.add_argument("--p", type=int, default=6000)
    parser.add_argument("--targets", type=int, default=45)
    parser.add_argument("--configs", type=int, default=3)
    parser.add_argument("--pipeline", nargs="+", default=["ridge", "elastic", "svm", "lgbm"])
    parser.add_argument("--task", nargs="+", choices=TASKS, default=TASKS)
    given = parser.parse_args()
    print(f"{given.n} subjects, {given.p} regions, {given.targets} targets; GiB at the peak so far")
    print("| pipeline | task | targets at once | data alone | after the search | after the refit | CPU s |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    context = multiprocessing.get_context("spawn")
    for kind in given.pipeline:
        for task in given.task:
            receive, send = context.Pipe(duplex=False)
            child = context.Process(target=measure, args=(kind, task, given, send))
            child.start()
            send.close()
            try:
                n, *peaks, seconds = receive.recv()
            except EOFError:
                raise SystemExit(f"{kind}, {task}: ended without an answer") from None
            finally:
                child.join()
            print(f"| {kind} | {task} | {n} | {' | '.join(f'{g:.2f}' for g in peaks)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
