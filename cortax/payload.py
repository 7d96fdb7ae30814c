"""What leaves a process and comes back: a task's inputs as files that others map, and sealed values.

All bytes of results that the workflow carries go through this module. The code of the workflow is in no key; this is in
the key of every method whose workers use it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import ProjectError

__all__ = ["Arrays", "open_payload", "open_sealed", "save_payload", "seal"]

Arrays = Mapping[str, npt.NDArray[Any]]

_DIGEST_SIZE = 16


def seal(key: str, value: bytes) -> bytes:
    """Return a value with a digest of it and of its key, see `open_sealed`."""
    return _digest(key, value) + value


def open_sealed(key: str, sealed: bytes) -> bytes:
    """Return the value that was sealed under a key.

    Raises
    ------
    ProjectError
        It was sealed under another key, or its bytes have changed.
    """
    value = sealed[_DIGEST_SIZE:]
    if _digest(key, value) != sealed[:_DIGEST_SIZE]:
        raise ProjectError(f"{key}: the bytes are not those that a worker returned for it; build again")
    return value


def _digest(key: str, value: bytes) -> bytes:
    return hashlib.blake2b(value, key=hashlib.blake2b(key.encode()).digest(), digest_size=_DIGEST_SIZE).digest()


def save_payload(folder: Path, arrays: Arrays, about: Mapping[str, Any]) -> None:
    """Write a task's inputs into an existing folder: each array as a file of its own, everything else as JSON.

    Parameters
    ----------
    folder : Path
    arrays : mapping of str to array
        Of any type that needs no pickle; memory-mapped ones are copied as they are. NaN stays NaN.
    about : mapping
        JSON values.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    (folder / "about.json").write_text(json.dumps({"arrays": sorted(arrays), "about": about}))


def open_payload(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Return what `save_payload` wrote; arrays are memory-mapped and read-only.

    Every process of a machine that maps an array shares one copy of it in memory.

    Raises
    ------
    OSError, ValueError, KeyError
        A file is missing or damaged.
    """
    content = json.loads((folder / "about.json").read_text())
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in content["arrays"]}
    return arrays, content["about"]
