"""Cells come back from bytes as they were, to the bit, and without pickles."""

import json

import numpy as np
import pytest

from cortax.errors import SearchError
from cortax.search.cells import CellSearch
from cortax.search.evaluations import CellEvaluation, failed_cell
from cortax.search.pipelines import LinearModel
from cortax.search.store_cells import read_evaluation, read_search, write_evaluation, write_search

AWKWARD = np.array([0.1, np.nan, -0.0, np.inf, -np.inf, 5e-324, np.nextafter(1, 2)])


def same(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("configs", [None, ({"alpha": 0.1, "boosting": "dart", "n": np.int64(3)}, {"alpha": 1e-300})])
def test_a_search(configs):
    failure = {"target": "fluid", "outer": 1, "inner": 0, "config": -1, "kind": "ValueError", "message": "é \n"}
    cell = CellSearch(AWKWARD.reshape(7, 1), np.arange(7).reshape(7, 1), 0.1 + 0.2, (failure,), configs)
    content = write_search(cell)
    found = read_search(content)
    same(found.scores, cell.scores)
    same(found.not_converged, cell.not_converged)
    assert (found.seconds, found.failures, found.configs) == (cell.seconds, cell.failures, configs)
    assert write_search(found) == content


@pytest.mark.parametrize("linear", [None, LinearModel(0.1 + 0.2, AWKWARD, AWKWARD[:0])])
def test_an_evaluation(linear):
    cell = CellEvaluation(np.arange(7), AWKWARD, AWKWARD[::-1], linear, 3, 20, 1, 0.7)
    content = write_evaluation(cell)
    found = read_evaluation(content)
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
    assert write_evaluation(found) == content


def test_an_evaluation_that_failed():
    found = read_evaluation(write_evaluation(failed_cell("no")))
    assert (found.failure, found.chosen, len(found.predictions)) == ("no", -1, 0)


def test_an_integer_of_numpy_is_an_integer():
    cell = CellEvaluation(np.arange(2), AWKWARD[:2], AWKWARD[:2], None, np.int64(3), 20, np.int64(1), 0.7)
    found = read_evaluation(write_evaluation(cell))
    assert (found.chosen, type(found.chosen)) == (3, int)


def test_no_pickles():
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        write_search(CellSearch(objects, np.zeros(1, int), 0.0, ()))
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        write_search(CellSearch(np.zeros(1), np.zeros(1, int), 0.0, ({"message": object()},)))


@pytest.mark.parametrize(
    "harm", [lambda b: b"", lambda b: b[:3], lambda b: b[:30], lambda b: b[:-1], lambda b: b"\xff" * 40]
)
def test_what_is_not_whole_is_refused(harm):
    content = write_search(CellSearch(AWKWARD, np.arange(7), 0.0, ()))
    with pytest.raises(SearchError, match="not the bytes of a cell"):
        read_search(harm(content))
    with pytest.raises(SearchError, match="not the bytes of a cell"):
        read_evaluation(harm(content))


def test_the_head_is_json():
    content = write_search(CellSearch(AWKWARD, np.arange(7), 0.5, ()))
    about, names = json.loads(content[4 : content.index(b"\x93NUMPY")])
    assert (about["seconds"], names) == (0.5, ["scores", "not_converged"])
