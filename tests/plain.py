"""Whole searches and evaluations by the plain loop of scikit-learn alone, cell by cell."""

from dataclasses import replace

from cortax.learning.search.cells import Batch, all_cells, collect
from cortax.learning.search.evaluations import collect_evaluations
from cortax.learning.search.reference import search_cell
from cortax.learning.search.refit import evaluate_batch


def search(problem, kind, cells=None):
    todo = all_cells(len(problem.names), problem.folds.n_outer) if cells is None else cells
    done = {cell: search_cell(problem, cell, kind) for cell in todo}
    return collect(done, len(problem.names), problem.folds, problem.configs)


def evaluate(problem, kind, scores, *, rule="best", cells=None):
    done = {}
    for target, outer in all_cells(len(problem.names), problem.folds.n_outer) if cells is None else cells:
        done |= evaluate_batch(
            replace(problem, plain=True),
            Batch(outer, (target,)),
            kind,
            scores={target: scores[target, outer]},
            configs={target: problem.configs[problem.tasks[target]]},
            rule=rule,
        )
    return collect_evaluations(done, len(problem.names), problem.folds)
