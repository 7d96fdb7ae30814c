"""What is in files, as far as a plan needs it: regions of a parcellation, rows and columns of a table, identifiers.

Jobs are cut and their costs estimated by it. What a file holds is remembered by its digest.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortax.brain.data.map_files import MapFiles
from cortax.errors import CortaxError, InputError
from cortax.provenance.closure import class_code
from cortax.provenance.files import text_digest
from cortax.provenance.memory import Memory

if TYPE_CHECKING:
    from cortax.brain.data.tables import RegionRows

__all__ = ["Sizes"]

Size = tuple[int, int]  # rows and columns; 0 where that cannot be known

# Keys of `[phenotypes]` that say who is studied: confounds and targets come later.
_NAMING = ("file", "join", "id", "id_prefix", "id_rule", "where", "include", "exclude", "sessions", "missing")


class Sizes:
    """Sizes by content.

    Parameters
    ----------
    path : path
        Where they are remembered, see `Memory`.
    """

    def __init__(self, path: Path) -> None:
        self._memory = Memory(path)

    def n_regions(self, spec: Mapping[str, Any], digests: Mapping[str, str], root: Path) -> int:
        """Return how many regions a parcellation has; 0 if its files cannot be read, which its own job will say."""
        if "n_regions" in spec:
            return int(spec["n_regions"])
        if "level" in spec:
            return int(2 * (10 * 4 ** int(spec["level"]) + 2))
        return int(self._labels(spec, digests, root)[0])

    def background(self, spec: Mapping[str, Any], digests: Mapping[str, str], root: Path) -> tuple[str, ...]:
        """Return the names in a parcellation's files that are those of no region."""
        return tuple(self._labels(spec, digests, root)[1:]) if spec.get("kind") == "labels" else ()

    def _labels(self, spec: Mapping[str, Any], digests: Mapping[str, str], root: Path) -> list[Any]:
        return self._remembered(["regions", dict(spec), dict(digests)], lambda: _count_regions(spec, root), [0])

    def of_table(self, table: Mapping[str, Any], digests: list[str], root: Path) -> Size:
        """Return how many subjects and regions a table has."""
        rows, columns = self._remembered([dict(table), digests], lambda: _measure_table(table, root), [0, 0])
        return rows, columns

    def n_edges(self, files: MapFiles, inventory: str) -> int:
        """Return how many pairs of regions matrices have; 0 if none can be read, which their own job will say."""
        return int(self._remembered(["edges", inventory], lambda: [_count_edges(files)], [0])[0])

    def identifiers(self, people: Mapping[str, Any], digests: Mapping[str, str], root: Path) -> frozenset[str]:
        """Return who is in a study's table of phenotypes; nobody if it cannot be read, which its own job will say."""
        return frozenset(self._people(people, digests, root)[0])

    def notes_on_people(self, people: Mapping[str, Any], digests: Mapping[str, str], root: Path) -> tuple[str, ...]:
        """Return sentences on how many rows are selected, of a study that selects or joins any."""
        if isinstance(people["file"], str) and not any(people[key] for key in ("where", "include", "exclude")):
            return ()
        return tuple(f"phenotypes: {note}" for note in self._people(people, digests, root)[1])

    def _people(self, people: Mapping[str, Any], digests: Mapping[str, str], root: Path) -> list[Any]:
        naming = {key: people[key] for key in _NAMING}
        # Another way to read may find others, and who is listed decides whose images are read.
        code = class_code(["cortax.brain.data.phenotype_table:read_phenotypes"])
        return self._remembered(["people", naming, dict(digests), code], lambda: _read_people(naming, root), [[], []])

    def notes_on_table(self, name: str, table: Mapping[str, Any], digests: list[str], root: Path) -> tuple[str, ...]:
        """Return sentences on how many rows of a table are selected, of a study that selects any."""
        if not table["where"]:
            return ()
        key = ["notes", dict(table), digests]
        notes = self._remembered(key, lambda: _read_table(table, root).notes, [])
        return tuple(f"tables.{name}: {note}" for note in notes)

    def _remembered(self, key: Any, measure: Callable[[], Iterable[Any]], otherwise: list[Any]) -> list[Any]:
        digest = text_digest(json.dumps(key, sort_keys=True))
        if (known := self._memory.get(digest)) is None:
            try:
                known = list(measure())
            except (CortaxError, KeyError):
                return otherwise
            self._memory.note(digest, known)
        return list(known)

    def save(self) -> None:
        """Write what was learnt."""
        self._memory.save()


def _count_regions(spec: Mapping[str, Any], root: Path) -> list[Any]:
    # Imported where they are needed: a build of nothing new does not wait for libraries that read images.
    if spec["kind"] == "weights":
        return [_count_weights(root / spec["file"])]
    if spec["kind"] == "probabilistic":
        from cortax.brain.parcellation.probabilistic import count_probabilistic

        return [count_probabilistic(spec, root)]
    from cortax.brain.parcellation.readers import describe_labels

    n_regions, background = describe_labels(spec, root)
    return [n_regions, *background]


def _read_people(naming: Mapping[str, Any], root: Path) -> list[list[str]]:
    from cortax.brain.data.phenotype_table import people_of, read_phenotypes

    # Who belongs together is no matter here.
    found = read_phenotypes(people_of(naming, root), group=False)
    return [sorted(map(str, found.table.index)), [*found.notes, *found.warnings]]


def _count_weights(path: Path) -> int:
    import numpy as np
    import scipy.sparse

    from cortax.brain.data.bounds import check_npz

    try:
        if path.suffix == ".npz":
            check_npz(path)
            return int(scipy.sparse.load_npz(path).shape[1])
        return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[1])
    except (OSError, ValueError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an array of weights ({error})") from error


def _count_edges(files: MapFiles) -> int:
    from cortax.brain.data.connectivity import count_edges

    return count_edges(files)


def _measure_table(table: Mapping[str, Any], root: Path) -> Size:
    found = _read_table(table, root).table
    return len(found.subjects), len(found.columns)


def _read_table(table: Mapping[str, Any], root: Path) -> RegionRows:
    from cortax.brain.data.tables import region_rows_of

    return region_rows_of(table, root)
