"""Loading a cohort's maps, one subject at a time, into one array on disk.

Memory does not grow with the number of subjects: a subject's maps are written with ordinary file writes (pages
of a memory map that were written to count as the process's own), and what must be known of all subjects are a
few numbers of each.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.dropped import Dropped, tally, write_dropped
from cortax.brain.data.images import read_map
from cortax.brain.data.map_files import (
    MapFiles,
    content_of,
    content_of_stacks,
    find_maps,
    inventory,
    list_inventory,
)
from cortax.brain.data.spaces import Space
from cortax.brain.data.stacks import Stacks, describe_stack
from cortax.brain.data.subject import Rules, UnusableError, read_subject
from cortax.data.files import DamagedFileError
from cortax.errors import InputError
from cortax.store import load, naming, replacing, save

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

# Of fewer normal spreads one in a few hundred cohorts would lose a sound subject to 10 robust SD.
FEWEST = 10
VALUES, DESCRIPTION, DROPPED, INVENTORY = "maps.npy", "maps.json", "dropped.csv", "inventory.txt"
# Only where there are any.
LOST = "lost_scans.csv"


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

    `n_missing` counts, by map, the locations without data (NaN) over the kept subjects. `notes` says which rules
    could not be applied, and how many scans were lost: `lost` has those that cannot be used, of subjects with others.
    """

    subjects: tuple[str, ...]
    maps: tuple[str, ...]
    space: Space
    dropped: tuple[Dropped, ...]
    n_missing: dict[str, int]
    inventory_digest: str
    notes: tuple[str, ...] = ()
    lost: tuple[Dropped, ...] = ()


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

    Where scans are averaged and some cannot be used, lost_scans.csv has those.

    Parameters
    ----------
    files : MapFiles
    out_dir : path
        An existing folder.
    space : Space
        What every map must fit; the left hemisphere's vertices come first. CIFTI files are spread over the
        vertices of a surface space, with NaN in their medial wall. Files that name their voxels, grayordinates or
        vertices are compared by them, with the first that does, and put in one order.
    max_missing : float
        Largest fraction of a file's locations that may be NaN in a subject's map.
    outlier_sd : float, optional
        Drop a subject if, in any map, its standard deviation over locations lies more than so many robust standard
        deviations (1.4826 times the median absolute deviation) from the median over the subjects that could be read.
        Not applied to fewer than `FEWEST` subjects, whose spread is not known well enough; `notes` then says so.
    damaged : "drop" or "error"
        What to do with a subject whose file is missing, unreadable, cut short or has infinite values.
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
    with replacing(Path(out_dir) / VALUES) as partial, partial.open("w+b") as file, Stacks(out_dir) as stacks:
        file.write(_npy_header((len(files.subjects), len(files.maps), space.n_locations)))
        seen = _spool(files, rules, stacks, file, progress)
        text, digest = seen.inventory
        if inventory_digest not in (None, digest):
            raise InputError(f"{files.root}: a file changed since the build listed the maps: build again")
        outliers = _outliers(seen.spreads, outlier_sd)
        odd = [
            Dropped(
                seen.subjects[i],
                f"map {files.maps[j]!r}: its spread is more than {outlier_sd:g} SD (robust) from the median",
            )
            for i, j in outliers.items()
        ]
        rows = [i for i in range(len(seen.subjects)) if i not in outliers]
        dropped = tuple(sorted([*files.dropped, *seen.dropped, *odd], key=lambda d: d.participant_id))
        if not rows:
            raise InputError(f"{files.root}: every subject was dropped: {tally(dropped)}")
        _keep_rows(file, rows, (len(files.maps), space.n_locations))
    subjects = tuple(seen.subjects[i] for i in rows)
    missing = np.sum([seen.missing[i] for i in rows], axis=0).tolist()
    n_missing = dict(zip(files.maps, missing, strict=True))
    lost = tuple(sorted(seen.lost, key=lambda scan: scan.participant_id))
    notes = _notes(seen, outlier_sd)
    loaded = LoadedMaps(subjects, files.maps, seen.space, dropped, n_missing, digest, notes, lost)
    _describe(Path(out_dir), loaded)
    (Path(out_dir) / INVENTORY).write_text(text, encoding="utf-8")
    return loaded


def open_maps(folder: Path | str) -> Maps:
    """Open what `load_maps` saved; the values are mapped, not read.

    Raises
    ------
    ProjectError
        A file is missing or damaged.
    InputError
        The files do not fit each other.
    """
    folder = Path(folder)
    fields, values = load(folder, DESCRIPTION, VALUES)
    with naming(folder / DESCRIPTION):
        maps = Maps(values, tuple(fields["subjects"]), tuple(fields["maps"]), Space.from_dict(fields["space"]))
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
    lost: list[Dropped]
    inventory: tuple[str, str]
    space: Space


def _spool(
    files: MapFiles, rules: Rules, stacks: Stacks, file: BinaryIO, progress: Callable[[int, int], None] | None
) -> _Spooled:
    digests: dict[str, str] = {}
    out = _Spooled([], [], [], [], list(files.lost), ("", ""), rules.space)
    for i, subject in enumerate(files.subjects):
        try:
            read = read_subject(files, i, rules, stacks)
        except UnusableError as error:
            out.dropped.append(Dropped(subject, error.reason, error.file))
        else:
            block, rules = read.values, read.rules
            out.lost.extend(read.lost)
            file.write(block.data)
            out.subjects.append(subject)
            out.spreads.append(np.array([_spread(values) for values in block]))
            out.missing.append(np.isnan(block).sum(axis=1))
        # After reading, so that a file that was changed before or meanwhile shows.
        digests.update(content_of(files, i))
        if progress is not None:
            progress(i + 1, len(files.subjects))
    digests.update(content_of_stacks(files))
    return replace(out, inventory=list_inventory(digests, [*files.dropped, *files.lost]), space=rules.space)


def _notes(seen: _Spooled, outlier_sd: float | None) -> tuple[str, ...]:
    notes = []
    if outlier_sd is not None and len(seen.subjects) < FEWEST:
        notes.append(f"outlier_sd is not applied: {len(seen.subjects)} subjects were read, it needs {FEWEST}")
    if n := len(seen.lost):
        scans = f"{n} scan{'s' * (n > 1)}"
        notes.append(f"{scans} cannot be used, others of the same subjects are: {tally(seen.lost)}")
    return tuple(notes)


def _spread(values: NDArray[np.float32]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(dtype=np.float64)) if len(finite) else np.nan


def _outliers(spreads: Sequence[NDArray[np.float64]], outlier_sd: float | None) -> dict[int, int]:
    """Row of each outlying subject -> the first map in which it is one."""
    if outlier_sd is None or len(spreads) < FEWEST:
        return {}
    table = np.array(spreads)
    table = np.where(np.isnan(table), np.median(np.nan_to_num(table), axis=0), table)
    away = np.abs(table - np.median(table, axis=0))
    # Where most are exactly alike, the median of what they are away is 0.
    scale = np.where((robust := 1.4826 * np.median(away, axis=0)) > 0, robust, 1.2533 * away.mean(axis=0))
    far = away > outlier_sd * scale
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
    save(folder, {DESCRIPTION: fields}, sort_keys=False, end="\n")
    write_dropped(folder / DROPPED, loaded.dropped)
    if loaded.lost:
        write_dropped(folder / LOST, loaded.lost)


def space_of(files: MapFiles, name: str) -> Space:
    """Return the space that a study names; for "volume" the grid of the first image that can be read.

    Raises
    ------
    InputError
        The name is unknown, or it is "volume" and the image has no grid, or none can be read.
    """
    if name != "volume":
        return Space.from_name(name)
    for number, paths in enumerate(files.paths):
        first = files.root / paths[0][0]
        try:
            stacked = files.row_of(number, 0) is not None
            found = describe_stack(first).space if stacked else read_map(first, pick=files.picks[0]).space
        except DamagedFileError:
            # Whether it may be left out is for `load_maps` to say
            if number + 1 == len(files.paths):
                raise
            continue
        break
    if found is None or found.kind != "volume":
        raise InputError(f"{first}: space = 'volume' needs images with a grid, such as NIfTI")
    return found
