"""Cells come back from bytes as they were, to the bit, and without pickles."""

import numpy as np
import pytest

from cortax.errors import ProjectError
from cortax.learning.search.cells import CellSearch
from cortax.learning.search.evaluations import CellEvaluation, failed_cell
from cortax.learning.search.pipelines import LinearModel

AWKWARD = np.array([0.1, np.nan, -0.0, np.inf, -np.inf, 5e-324, np.nextafter(1, 2)])


def same(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("configs", [None, ({"alpha": 0.1, "boosting": "dart", "n": np.int64(3)}, {"alpha": 1e-300})])
def test_a_search(configs):
    failure = {"target": "fluid", "outer": 1, "inner": 0, "config": -1, "kind": "ValueError", "message": "é \n"}
    cell = CellSearch(AWKWARD.reshape(7, 1), np.arange(7).reshape(7, 1), 0.1 + 0.2, (failure,), configs)
    content = cell.to_bytes()
    found = CellSearch.from_bytes(content)
    same(found.scores, cell.scores)
    same(found.not_converged, cell.not_converged)
    assert (found.seconds, found.failures, found.configs) == (cell.seconds, cell.failures, configs)
    assert found.to_bytes() == content


@pytest.mark.parametrize("linear", [None, LinearModel(0.1 + 0.2, AWKWARD, AWKWARD[:0])])
def test_an_evaluation(linear):
    cell = CellEvaluation(np.arange(7), AWKWARD, AWKWARD[::-1], linear, 3, 20, 1, 0.7)
    content = cell.to_bytes()
    found = CellEvaluation.from_bytes(content)
    for name in ("rows", "predictions", "labels"):
        same(getattr(found, name), getattr(cell, name))
    for name in ("chosen", "train_rows", "not_converged", "seconds", "failure"):
        assert getattr(found, name) == getattr(cell, name)
    if linear is None:
        assert found.linear is None
    else:
        assert found.linear.intercept == linear.intercept
        same(found.linear.coefficients, linear.coefficients)
        same(found.linear.confound_coefficients, linear.confound_coefficients)
    assert found.to_bytes() == content


def test_an_evaluation_that_failed():
    found = CellEvaluation.from_bytes(failed_cell("no").to_bytes())
    assert (found.failure, found.chosen, len(found.predictions)) == ("no", -1, 0)


def test_an_integer_of_numpy_is_an_integer():
    cell = CellEvaluation(np.arange(2), AWKWARD[:2], AWKWARD[:2], None, np.int64(3), 20, np.int64(1), 0.7)
    found = CellEvaluation.from_bytes(cell.to_bytes())
    assert (found.chosen, type(found.chosen)) == (3, int)


def test_no_pickles():
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        CellSearch(objects, np.zeros(1, int), 0.0, ()).to_bytes()
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        CellSearch(np.zeros(1), np.zeros(1, int), 0.0, ({"message": object()},)).to_bytes()


def test_another_kind_of_cell_is_refused():
    content = CellSearch(AWKWARD, np.arange(7), 0.0, ()).to_bytes()
    with pytest.raises(ProjectError, match="not what was packed"):
        CellEvaluation.from_bytes(content[:-1])
    with pytest.raises(ProjectError, match=r"not a stored CellSearch.*scores"):
        CellSearch.from_bytes(failed_cell("no").to_bytes())
