"""Loading a cohort's maps, one subject at a time, into one array on disk.

Memory does not grow with the number of subjects: a subject's maps are written with ordinary file writes (pages
of a memory map that were written to count as the process's own), and what must be known of all subjects are a
few numbers of each.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from cortax.data.dropped import Dropped, tally, write_dropped
from cortax.data.files import written_whole
from cortax.data.images import read_map
from cortax.data.map_files import MapFiles, find_maps, inventory, list_inventory
from cortax.data.spaces import Space
from cortax.data.subject import Rules, UnusableError, read_subject
from cortax.errors import InputError
from cortax.provenance import file_digest

__all__ = [
    "Dropped",
    "LoadedMaps",
    "MapFiles",
    "Maps",
    "find_maps",
    "inventory",
    "load_maps",
    "open_maps",
    "space_of",
]

VALUES, DESCRIPTION, DROPPED, INVENTORY = "maps.npy", "maps.json", "dropped.csv", "inventory.txt"


@dataclass(frozen=True)
class Maps:
    """Maps of all subjects: `values` is a read-only float32 array (n_subjects, n_maps, n_locations)."""

    values: NDArray[np.float32]
    subjects: tuple[str, ...]
    maps: tuple[str, ...]
    space: Space


@dataclass(frozen=True)
class LoadedMaps:
    """What `load_maps` kept and what it left out; the values are on disk.

    `n_missing` counts, by map, the locations without data (NaN) over the kept subjects.
    """

    subjects: tuple[str, ...]
    maps: tuple[str, ...]
    space: Space
    dropped: tuple[Dropped, ...]
    n_missing: dict[str, int]
    inventory_digest: str


def load_maps(
    files: MapFiles,
    out_dir: Path | str,
    *,
    space: Space,
    max_missing: float = 0.0,
    outlier_sd: float | None = None,
    damaged: Literal["drop", "error"] = "drop",
    inventory_digest: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LoadedMaps:
    """Read a cohort into `out_dir`: maps.npy, maps.json, dropped.csv and inventory.txt, see `inventory`.

    Parameters
    ----------
    files : MapFiles
    out_dir : path
        An existing folder.
    space : Space
        What every map must fit; the left hemisphere's vertices come first. CIFTI files are spread over the
        vertices of a surface space, with NaN in their medial wall.
    max_missing : float
        Largest fraction of a file's locations that may be NaN or infinite (which become NaN) in a subject's map.
    outlier_sd : float, optional
        Drop a subject if, in any map, its standard deviation over locations lies more than so many standard
        deviations (of the population formula) from the mean over the subjects that could be read.
    damaged : "drop" or "error"
        What to do with a subject whose file is missing, unreadable or cut short.
    inventory_digest : str, optional
        Digest by `inventory` that the files must still have.
    progress : callable of (n_done, n_subjects), optional

    Returns
    -------
    LoadedMaps
        Subjects in sorted order.

    Raises
    ------
    InputError
        A file does not fit `space`, is of the other hemisphere, or changed; no subject is left.
    """
    rules = Rules(space, max_missing, damaged)
    partial = Path(out_dir) / f"{VALUES}.partial"
    with written_whole(partial) as file:
        file.write(_npy_header((len(files.subjects), len(files.maps), space.n_locations)))
        seen = _spool(files, rules, file, progress)
        text, digest = seen.inventory
        if inventory_digest not in (None, digest):
            raise InputError(f"{files.root}: a file changed since the build listed the maps: build again")
        outliers = _outliers(seen.spreads, outlier_sd)
        odd = [
            Dropped(seen.subjects[i], f"map {files.maps[j]!r}: its spread is more than {outlier_sd:g} SD from the mean")
            for i, j in outliers.items()
        ]
        rows = [i for i in range(len(seen.subjects)) if i not in outliers]
        dropped = tuple(sorted([*files.dropped, *seen.dropped, *odd], key=lambda d: d.participant_id))
        if not rows:
            raise InputError(f"{files.root}: every subject was dropped: {tally(dropped)}")
        _keep_rows(file, rows, (len(files.maps), space.n_locations))
    os.replace(partial, partial.with_name(VALUES))
    subjects = tuple(seen.subjects[i] for i in rows)
    missing = np.sum([seen.missing[i] for i in rows], axis=0).tolist()
    n_missing = dict(zip(files.maps, missing, strict=True))
    loaded = LoadedMaps(subjects, files.maps, space, dropped, n_missing, digest)
    _describe(Path(out_dir), loaded)
    (Path(out_dir) / INVENTORY).write_text(text, encoding="utf-8")
    return loaded


def open_maps(folder: Path | str) -> Maps:
    """Open what `load_maps` saved; the values are mapped, not read.

    Raises
    ------
    InputError
        A file is missing, unreadable, or does not fit the others.
    """
    folder = Path(folder)
    try:
        fields = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        values = np.load(folder / VALUES, mmap_mode="r", allow_pickle=False)
        maps = Maps(values, tuple(fields["subjects"]), tuple(fields["maps"]), Space.from_dict(fields["space"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{folder}: not a folder of loaded maps ({error})") from error
    expected = (len(maps.subjects), len(maps.maps), maps.space.n_locations)
    if values.shape != expected or values.dtype != np.float32:
        raise InputError(
            f"{folder / VALUES}: float32 of shape {expected} is needed, found {values.dtype} {values.shape}"
        )
    return maps


@dataclass(frozen=True)
class _Spooled:
    """What was written, one entry a subject: small numbers only."""

    subjects: list[str]
    spreads: list[NDArray[np.float64]]
    missing: list[NDArray[np.int64]]
    dropped: list[Dropped]
    inventory: tuple[str, str]


def _spool(files: MapFiles, rules: Rules, file: BinaryIO, progress: Callable[[int, int], None] | None) -> _Spooled:
    digests: dict[str, str] = {}
    out = _Spooled([], [], [], [], ("", ""))
    for i, subject in enumerate(files.subjects):
        try:
            block = read_subject(files, i, rules)
        except UnusableError as error:
            out.dropped.append(Dropped(subject, error.reason, error.file))
        else:
            file.write(block.data)
            out.subjects.append(subject)
            out.spreads.append(np.array([_spread(values) for values in block]))
            out.missing.append(np.isnan(block).sum(axis=1))
        # After reading, so that a file that was changed before or meanwhile shows.
        digests.update(_digests(files, i))
        if progress is not None:
            progress(i + 1, len(files.subjects))
    return replace(out, inventory=list_inventory(digests, files.dropped))


def _digests(files: MapFiles, i: int) -> dict[str, str]:
    paths = [path for pair in files.paths[i] for path in pair]
    # A file gone since it was found is one more reason for the inventory to differ, not a reason to stop here.
    return {path: file_digest(files.root / path) if (files.root / path).is_file() else "gone" for path in paths}


def _spread(values: NDArray[np.float32]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(dtype=np.float64)) if len(finite) else np.nan


def _outliers(spreads: Sequence[NDArray[np.float64]], outlier_sd: float | None) -> dict[int, int]:
    """Row of each outlying subject -> the first map in which it is one."""
    if outlier_sd is None or not spreads:
        return {}
    table = np.array(spreads)
    table = np.where(np.isnan(table), np.nan_to_num(table).mean(axis=0), table)
    far = np.abs(table - table.mean(axis=0)) > outlier_sd * table.std(axis=0)
    return {int(i): int(far[i].argmax()) for i in np.flatnonzero(far.any(axis=1))}


def _keep_rows(file: BinaryIO, rows: Sequence[int], row_shape: tuple[int, int]) -> None:
    """Close the gaps of dropped subjects in place, row by row, and write the true shape into the header."""
    header = _npy_header((len(rows), *row_shape))
    n_bytes = row_shape[0] * row_shape[1] * np.dtype(np.float32).itemsize
    for to, row in enumerate(rows):
        if to != row:
            file.seek(len(header) + row * n_bytes)
            values = file.read(n_bytes)
            file.seek(len(header) + to * n_bytes)
            file.write(values)
    file.truncate(len(header) + len(rows) * n_bytes)
    file.seek(0)
    file.write(header)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    # numpy leaves room for the first axis to grow: the length is the same for any number of subjects.
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(np.float32))
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    return header.getvalue()


def _describe(folder: Path, loaded: LoadedMaps) -> None:
    fields = {"subjects": loaded.subjects, "maps": loaded.maps, "space": loaded.space.to_dict()}
    (folder / DESCRIPTION).write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    write_dropped(folder / DROPPED, loaded.dropped)


def space_of(files: MapFiles, name: str) -> Space:
    """Return the space that a study names; for "volume" the grid of the first subject's first image.

    Raises
    ------
    InputError
        The name is unknown, or it is "volume" and the first image has no grid.
    """
    if name != "volume":
        return Space.from_name(name)
    first = files.root / files.paths[0][0][0]
    found = read_map(first, pick=files.picks[0]).space
    if found is None or found.kind != "volume":
        raise InputError(f"{first}: space = 'volume' needs images with a grid, such as NIfTI")
    return found
