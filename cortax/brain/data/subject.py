"""Reading all maps of one subject, and deciding whether they can be used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.cifti import CORTEX, expand_cortex
from cortax.brain.data.dropped import Dropped
from cortax.brain.data.images import MapValues, read_map
from cortax.brain.data.map_files import MapFiles
from cortax.brain.data.resample import turn_axes
from cortax.brain.data.spaces import Space, known_space
from cortax.brain.data.stacks import Stacks
from cortax.data.files import DamagedFileError
from cortax.errors import InputError, choices

__all__ = ["HEMISPHERES", "Rules", "SubjectMaps", "UnusableError", "read_subject"]

HEMISPHERES = {"L": "left", "R": "right"}


@dataclass(frozen=True)
class Rules:
    """What a subject's maps must be; the fields are options of `load_maps`.

    `reference` is the first file that said where its values lie: its locations, which `space` has, are everyone's.
    """

    space: Space
    max_missing: float
    damaged: Literal["drop", "error"]
    reference: str = ""

    def __post_init__(self) -> None:
        if self.damaged not in ("drop", "error"):
            raise InputError(f"damaged: {choices(self.damaged, ('drop', 'error'))}")
        if not 0 <= self.max_missing <= 1:
            raise InputError(f"max_missing must be between 0 and 1, got {self.max_missing}")


@dataclass(frozen=True, eq=False)
class SubjectMaps:
    """One subject's maps.

    Attributes
    ----------
    values : float32 array of shape (n_maps, n_locations)
        Left hemisphere before right; NaN where the file has NaN. Voxels and grayordinates that a file lists in another
        order are in that of the space.
    rules : Rules
        For the next subject: with the locations of this one, if nobody before had any.
    lost : tuple of Dropped
        Scans that could not be used, of several.
    """

    values: NDArray[np.float32]
    rules: Rules
    lost: tuple[Dropped, ...] = ()


class UnusableError(Exception):
    """One subject, and no other, cannot be used: the reason, and the file relative to the root."""

    def __init__(self, reason: str, file: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file


def read_subject(files: MapFiles, i: int, rules: Rules, stacks: Stacks) -> SubjectMaps:
    """Read subject number `i`; of several scans, the mean of its sessions, each the mean of its runs.

    `stacks` reads files that hold everybody.

    Of a location that some scans lack (NaN) it is the mean of the others. Scans that cannot be used are left out if
    others can.

    Raises
    ------
    UnusableError
        A damaged file or infinite values (unless damaged files are errors), or too many missing locations: of all
        scans, if there are several.
    InputError
        A file of other locations or of the other hemisphere: so would be the next subject's.
    """
    scans = files.scans_of(i)
    if len(scans) == 1:
        values, rules = _read_scan(files, i, scans[0].paths, rules, stacks)
        return SubjectMaps(values, rules)
    sessions: dict[str, _Mean] = {}
    lost: list[Dropped] = []
    for scan in scans:
        try:
            values, rules = _read_scan(files, i, scan.paths, rules, stacks)
        except UnusableError as error:
            named = [f"{what} {name}" for what, name in (("session", scan.session), ("run", scan.run)) if name]
            lost.append(Dropped(", ".join([files.subjects[i], *named]), error.reason, error.file))
        else:
            sessions.setdefault(scan.session, _Mean()).add(values)
    if not sessions:
        raise UnusableError(f"all {len(scans)} scans: {lost[0].reason}", lost[0].file)
    whole = _Mean()
    for session in sessions.values():
        whole.add(session.values())
    return SubjectMaps(whole.values().astype(np.float32), rules, tuple(lost))


class _Mean:
    """A mean over arrays, each location over those that have it; NaN where none has."""

    def __init__(self) -> None:
        self._total: NDArray[np.float64] | float = 0.0
        self._n: NDArray[np.int64] | int = 0

    def add(self, values: NDArray[Any]) -> None:
        gaps = np.isnan(values)
        self._total = self._total + np.where(gaps, 0.0, values.astype(np.float64))
        self._n = self._n + ~gaps

    def values(self) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            return np.asarray(self._total / self._n)


def _read_scan(
    files: MapFiles, i: int, paths: tuple[tuple[str, ...], ...], rules: Rules, stacks: Stacks
) -> tuple[NDArray[np.float32], Rules]:
    """Read one scan, and return the rules for the next, with its locations, if nobody before had any."""
    block = np.empty((len(files.maps), rules.space.n_locations), dtype=np.float32)
    for j, pair in enumerate(paths):
        start = n_missing = n_read = n_infinite = 0
        row = files.row_of(i, j)
        called = f"map {files.maps[j]!r}" + ("" if row is None else f" (row {row + 1})")
        for path, hemi in zip(pair, ("L", "R") if len(pair) == 2 else ("",), strict=True):
            where = f"{files.root / path}"
            found = _read(files, path, j, rules) if row is None else stacks.read(files.root / path, row)
            rules = _placed(found, rules, path, where)
            values, n_absent = _fit(found, hemi, rules.space, where)
            n_infinite += int(np.isinf(values).sum())
            n_missing += int((~np.isfinite(values)).sum()) - n_absent
            n_read += len(values) - n_absent
            block[j, start : start + len(values)] = values
            start += len(values)
        if n_missing > rules.max_missing * n_read:
            share = f"{n_missing} of {n_read} locations are missing, at most {rules.max_missing:.4g} of them may be"
            raise UnusableError(f"{called}: {share}", pair[0])
        if n_infinite:
            reason = f"{called}: {n_infinite} of {n_read} values are infinite"
            if rules.damaged == "error":
                raise InputError(f"{files.root / pair[0]}: {reason}")
            raise UnusableError(reason, pair[0])
    return block, rules


def _read(files: MapFiles, path: str, j: int, rules: Rules) -> MapValues:
    try:
        return read_map(files.root / path, pick=files.picks[j])
    except DamagedFileError as error:
        if rules.damaged == "error":
            raise
        raise UnusableError(error.reason, path) from error


def _placed(found: MapValues, rules: Rules, path: str, where: str) -> Rules:
    """Compare a file's own locations with those of all maps, or learn these from it."""
    own, space = found.space, rules.space
    if space.kind == "surface" and found.structures:
        return rules
    if own is None:
        if space.reordered:
            raise InputError(
                f"{where}: does not say where its values lie, and {rules.reference} lists its grayordinates in an "
                f"unusual order: their order cannot be compared"
            )
        return rules
    if turn_axes(found.values, own, space) is None:
        like = f", as in {rules.reference}" if rules.reference else ""
        raise InputError(
            f"{where}: the maps' space is {space.describe()}{like}, found {own.describe()}: {own.difference(space)}"
        )
    learnt = replace(
        space,
        affine=space.affine or own.affine,
        locations=space.locations or own.locations,
        reordered=space.reordered or own.reordered,
    )
    return replace(rules, space=learnt, reference=rules.reference or path)


def _fit(found: MapValues, hemi: str, space: Space, where: str) -> tuple[NDArray[np.float32], int]:
    """Bring a file's values to `space`; also count the locations that the format leaves out (medial wall)."""
    if hemi and not space.hemispheric:
        raise InputError(f"{where}: one file a hemisphere needs a surface space, not {space.describe()}")
    if hemi and found.hemi is not None and found.hemi != hemi:
        other = HEMISPHERES[found.hemi]
        raise InputError(f"{where}: named as the {HEMISPHERES[hemi]} hemisphere, but holds the {other} one")
    values, n_absent = found.values, 0
    if space.kind == "surface" and found.structures:
        try:
            values = expand_cortex(values, found.structures, fill=np.nan, space=space)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        n_absent = len(values) - sum(s.stop - s.start for s in found.structures if s.name in CORTEX)
    elif found.order is not None:
        values = values[found.order]
    elif found.space is not None:
        values = cast(NDArray[np.float32], turn_axes(values, found.space, space))
    expected = space.n_hemisphere(hemi) if hemi else space.n_locations
    if len(values) != expected:
        side = f" {HEMISPHERES[hemi]} hemisphere of" if hemi else ""
        guess = known_space(len(values), hemi=hemi or None)
        hint = f", as many as in {guess.name!r}" if guess else ""
        raise InputError(
            f"{where}: {expected} values are needed for the{side} {space.name!r}, found {len(values)}{hint}"
        )
    return values, n_absent
