"""How large things are before they are read: regions of a parcellation, rows and columns of a table.

Jobs are cut and their costs estimated by it. What a file holds is remembered by its digest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cortax.errors import CortaxError, InputError
from cortax.provenance.files import text_digest

__all__ = ["Sizes"]

Size = tuple[int, int]  # rows and columns; 0 where that cannot be known


class Sizes:
    """Sizes by content.

    Parameters
    ----------
    path : path
        Where they are remembered. It is a cache: when damaged it is made anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[int]] = {}
        self._new = False
        with suppress(OSError, ValueError):
            self._known = json.loads(path.read_text())

    def n_regions(self, spec: Mapping[str, Any], digests: Mapping[str, str], root: Path) -> int:
        """Return how many regions a parcellation has; 0 if its files cannot be read, which its own job will say."""
        if "n_regions" in spec:
            return int(spec["n_regions"])
        if "level" in spec:
            return int(2 * (10 * 4 ** int(spec["level"]) + 2))
        _, n_regions = self._remembered([dict(spec), dict(digests)], lambda: (0, _count_regions(spec, root)))
        return n_regions

    def of_table(self, table: Mapping[str, Any], digests: list[str], root: Path) -> Size:
        """Return how many subjects and regions a table has."""
        return self._remembered([dict(table), digests], lambda: _measure_table(table, root))

    def _remembered(self, key: Any, measure: Callable[[], Size]) -> Size:
        digest = text_digest(json.dumps(key, sort_keys=True))
        if digest not in self._known:
            try:
                self._known[digest] = list(measure())
                self._new = True
            except (CortaxError, KeyError):
                return 0, 0
        rows, columns = self._known[digest]
        return rows, columns

    def save(self) -> None:
        """Write what was learnt; a cache that cannot be written costs time only."""
        if self._new:
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._path.with_suffix(".new")
                temporary.write_text(json.dumps(self._known))
                temporary.replace(self._path)


def _count_regions(spec: Mapping[str, Any], root: Path) -> int:
    # Imported where they are needed: a build of nothing new does not wait for libraries that read images.
    if spec["kind"] == "weights":
        return _count_weights(root / spec["file"])
    from cortax.data.labels import read_labels

    return sum(len(read_labels(root / spec[key]).names) for key in ("file", "left", "right") if key in spec)


def _count_weights(path: Path) -> int:
    import numpy as np
    import scipy.sparse

    try:
        if path.suffix == ".npz":
            return int(scipy.sparse.load_npz(path).shape[1])
        return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[1])
    except (OSError, ValueError, EOFError, IndexError) as error:
        raise InputError(f"{path}: not an array of weights ({error})") from error


def _measure_table(table: Mapping[str, Any], root: Path) -> Size:
    from cortax.data.tables import read_region_files

    found = read_region_files(
        [root / file for file in table["files"]],
        sessions=table["sessions"],
        id_columns=table["id"],
        columns=table["columns"],
        drop=table["drop"],
        id_prefix=table["id_prefix"],
    )
    return len(found.subjects), len(found.columns)
