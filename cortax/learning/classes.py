"""Classes of a target: as binary columns for those who fit, and put together again from what is said of the columns.

A target of more than two classes becomes one column a class, that class against the rest, as
`sklearn.multiclass.OneVsRestClassifier` has it. An ordinal target becomes one column a threshold, "greater than class
k" (Frank & Hall 2001, A simple approach to ordinal classification, ECML, LNAI 2167, 145-156). Two classes that are not
ordered stay one column. Classes are the numbers 0 to n_classes - 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cortax.learning.arrays import Floats, Ints

__all__ = [
    "binary_task",
    "check_codes",
    "check_present",
    "class_labels",
    "class_probabilities",
    "column_names",
    "count_classes",
    "expand",
    "is_by_class",
    "one_prediction",
]


def binary_task(task: str) -> str:
    """Return what the columns of a target are: ordinal ones are classifications."""
    return "regression" if task == "regression" else "classification"


def count_classes(task: str, y: Floats) -> int:
    """Return the number of classes of y, two at least, NaN left out; 0 of a regression."""
    if task == "regression":
        return 0
    known = y[~np.isnan(y)]
    return max(2, 1 + int(known.max(initial=0)))


def is_by_class(task: str, n_classes: int) -> bool:
    """Whether predictions of a target are probabilities of every class: ordinal, or more than two classes."""
    return task == "ordinal" or (task == "classification" and n_classes > 2)


def check_codes(y: Floats) -> str:
    """Say what is wrong with the numbers of classes, NaN left out; "" if they are 0, 1, 2, ... without a gap."""
    found = np.unique(y[~np.isnan(y)])
    if len(found) <= 2 and np.isin(found, (0, 1)).all():
        return ""
    if len(found) > 2 and (found == np.arange(len(found))).all():
        return ""
    return f"classes must be 0 and 1, or 0, 1, 2, ... without a gap; got {found[:5].tolist()}"


def check_present(y: Floats | Ints, n_classes: int) -> None:
    """Raise a ValueError if one of the classes is missing in y, which has no NaN."""
    if lacking := sorted(set(range(n_classes)) - set(np.unique(y).astype(int).tolist())):
        raise ValueError(f"nobody of class {lacking[0]} of {n_classes} classes among {len(y)} training subjects")


def expand(y: Floats, task: str, n_classes: int) -> Floats:
    """Return the columns of a target that `is_by_class`: float64 of 0 and 1, shape (n_subjects, n_columns).

    `y`: float64 of shape (n_subjects,), without NaN.
    """
    numbers = np.arange(n_classes)
    return np.asarray(y[:, None] > numbers[:-1] if task == "ordinal" else y[:, None] == numbers, dtype=np.float64)


def column_names(task: str, classes: Sequence[str]) -> list[str]:
    """Return names of the columns of a target that `is_by_class`, by those of its classes.

    A class stands for itself against the rest, `> CLASS` for the threshold of an ordinal target that is above it.
    """
    return [f"> {name}" for name in classes[:-1]] if task == "ordinal" else list(classes)


def class_labels(decisions: Floats, task: str) -> Floats:
    """Return the classes of subjects by the decisions, or probabilities, of the columns.

    Parameters
    ----------
    decisions : float64 array of shape (n_columns, ..., n_subjects)
        Against the rest, anything that grows with the class: the largest has it, the first of equals. Ordinal: above 0
        where "greater than class k" holds; the class is the number of those that hold.

    Returns
    -------
    float64 array of shape (..., n_subjects)
        NaN where a column is.
    """
    found = (decisions > 0).sum(axis=0) if task == "ordinal" else decisions.argmax(axis=0)
    return np.where(np.isnan(decisions).any(axis=0), np.nan, found.astype(np.float64))


def class_probabilities(columns: Floats, task: str) -> Floats:
    """Return the probabilities of classes by those of the columns.

    Against the rest they are divided by their sum, unless that is 0. Ordinal: differences of one threshold to the next,
    those below 0 taken as 0, divided by their sum.

    Parameters
    ----------
    columns : float64 array of shape (n_columns, ..., n_subjects)

    Returns
    -------
    float64 array of shape (..., n_subjects, n_classes)
        NaN where a column is.
    """
    if task == "ordinal":
        ends = np.ones((1, *columns.shape[1:])), np.zeros((1, *columns.shape[1:]))
        greater = np.concatenate([ends[0], columns, ends[1]])
        columns = np.maximum(greater[:-1] - greater[1:], 0.0)
    found = np.moveaxis(columns, 0, -1)
    total = found.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(found, total, out=np.array(found), where=total != 0))


def one_prediction(probabilities: Floats, labels: Floats, task: str) -> Floats:
    """Return one number a subject: the expected class number of an ordinal target, else the probability of its label.

    Parameters
    ----------
    probabilities : float64 array of shape (n_subjects, n_classes)
    labels : float64 array of shape (n_subjects,)
    """
    if task == "ordinal":
        return np.asarray(probabilities @ np.arange(probabilities.shape[1], dtype=np.float64))
    return np.asarray(np.take_along_axis(probabilities, labels.astype(np.int64)[:, None], axis=1)[:, 0])
