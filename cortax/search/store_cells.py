"""Cells of searches and evaluations as bytes: arrays as npy without pickles, the rest as JSON."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.search.cells import CellSearch
from cortax.search.evaluations import CellEvaluation
from cortax.search.pipelines import LinearModel

__all__ = ["read_evaluation", "read_search", "write_evaluation", "write_search"]

_Array = npt.NDArray[Any]


def write_search(cell: CellSearch) -> bytes:
    """Return the bytes of the search of a cell."""
    about = {"seconds": cell.seconds, "failures": cell.failures, "configs": cell.configs}
    return _write(about, {"scores": cell.scores, "not_converged": cell.not_converged})


def read_search(content: bytes) -> CellSearch:
    """Return what `write_search` wrote.

    Raises
    ------
    SearchError
        It wrote no such thing.
    """
    about, arrays = _read(content)
    configs = about["configs"]
    return CellSearch(
        **arrays,
        seconds=about["seconds"],
        failures=tuple(about["failures"]),
        configs=None if configs is None else tuple(configs),
    )


def write_evaluation(cell: CellEvaluation) -> bytes:
    """Return the bytes of the evaluation of a cell."""
    arrays = {"rows": cell.rows, "predictions": cell.predictions, "labels": cell.labels}
    about = {name: getattr(cell, name) for name in ("chosen", "train_rows", "not_converged", "seconds", "failure")}
    if cell.linear is not None:
        about["intercept"] = float(cell.linear.intercept)
        arrays |= {name: getattr(cell.linear, name) for name in ("coefficients", "confound_coefficients")}
    return _write(about, arrays)


def read_evaluation(content: bytes) -> CellEvaluation:
    """Return what `write_evaluation` wrote.

    Raises
    ------
    SearchError
        It wrote no such thing.
    """
    about, arrays = _read(content)
    linear = None
    if "intercept" in about:
        coefficients, confounds = arrays.pop("coefficients"), arrays.pop("confound_coefficients")
        linear = LinearModel(about.pop("intercept"), coefficients, confounds)
    return CellEvaluation(**{**arrays, **about}, linear=linear)


def _write(about: Mapping[str, Any], arrays: Mapping[str, _Array]) -> bytes:
    head = json.dumps([about, list(arrays)], default=_plain).encode()
    out = io.BytesIO()
    out.write(struct.pack("<I", len(head)))
    out.write(head)
    for values in arrays.values():
        np.lib.format.write_array(out, values, allow_pickle=False)
    return out.getvalue()


def _plain(value: Any) -> Any:
    """Write numpy's scalars as Python's; anything else is no JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _read(content: bytes) -> tuple[dict[str, Any], dict[str, _Array]]:
    stream = io.BytesIO(content)
    try:
        (size,) = struct.unpack("<I", stream.read(4))
        about, names = json.loads(stream.read(size))
        return about, {name: np.lib.format.read_array(stream, allow_pickle=False) for name in names}
    except (struct.error, ValueError, TypeError) as error:
        raise SearchError(f"not the bytes of a cell: {error}") from error
