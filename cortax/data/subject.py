"""Reading all maps of one subject, and deciding whether they can be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cortax.data.cifti import CORTEX, expand_cortex
from cortax.data.files import DamagedFileError
from cortax.data.images import MapValues, read_map
from cortax.data.map_files import MapFiles
from cortax.data.spaces import Space, known_space
from cortax.errors import InputError, choices

__all__ = ["HEMISPHERES", "Rules", "UnusableError", "read_subject"]

HEMISPHERES = {"L": "left", "R": "right"}


@dataclass(frozen=True)
class Rules:
    """What a subject's maps must be; the fields are options of `load_maps`."""

    space: Space
    max_missing: float
    damaged: Literal["drop", "error"]

    def __post_init__(self) -> None:
        if self.damaged not in ("drop", "error"):
            raise InputError(f"damaged: {choices(self.damaged, ('drop', 'error'))}")
        if not 0 <= self.max_missing <= 1:
            raise InputError(f"max_missing must be between 0 and 1, got {self.max_missing}")


class UnusableError(Exception):
    """One subject, and no other, cannot be used: the reason, and the file relative to the root."""

    def __init__(self, reason: str, file: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file


def read_subject(files: MapFiles, i: int, rules: Rules) -> NDArray[np.float32]:
    """Read subject number `i`.

    Returns
    -------
    array of shape (n_maps, n_locations), float32
        Left hemisphere before right; NaN where the file has NaN or an infinity.

    Raises
    ------
    UnusableError
        A damaged file (unless damaged files are errors) or too many missing locations.
    InputError
        A file of another space or of the other hemisphere: so would be the next subject's.
    """
    block = np.empty((len(files.maps), rules.space.n_locations), dtype=np.float32)
    for j, pair in enumerate(files.paths[i]):
        start = n_missing = n_read = 0
        for path, hemi in zip(pair, ("L", "R") if len(pair) == 2 else ("",), strict=True):
            values, n_absent = _fit(_read(files, path, j, rules), hemi, rules.space, f"{files.root / path}")
            values = np.where(np.isfinite(values), values, np.float32(np.nan))
            n_missing += int(np.isnan(values).sum()) - n_absent
            n_read += len(values) - n_absent
            block[j, start : start + len(values)] = values
            start += len(values)
        if n_missing > rules.max_missing * n_read:
            share = f"{n_missing} of {n_read} locations are missing, at most {rules.max_missing:.4g} of them may be"
            raise UnusableError(f"map {files.maps[j]!r}: {share}", pair[0])
    return block


def _read(files: MapFiles, path: str, j: int, rules: Rules) -> MapValues:
    try:
        return read_map(files.root / path, pick=files.picks[j])
    except DamagedFileError as error:
        if rules.damaged == "error":
            raise
        raise UnusableError(error.reason, path) from error


def _fit(found: MapValues, hemi: str, space: Space, where: str) -> tuple[NDArray[np.float32], int]:
    """Bring a file's values to `space`; also count the locations that the format leaves out (medial wall)."""
    if hemi and not space.hemispheric:
        raise InputError(f"{where}: one file a hemisphere needs a surface space, not {space.describe()}")
    if hemi and found.hemi is not None and found.hemi != hemi:
        other = HEMISPHERES[found.hemi]
        raise InputError(f"{where}: named as the {HEMISPHERES[hemi]} hemisphere, but holds the {other} one")
    values, n_absent = found.values, 0
    if space.kind == "surface" and found.structures:
        values = expand_cortex(values, found.structures, fill=np.nan)
        n_absent = len(values) - sum(s.stop - s.start for s in found.structures if s.name in CORTEX)
    elif space.kind in ("volume", "grayordinates") and found.space is not None and not found.space.matches(space):
        raise InputError(f"{where}: the maps' space is {space.describe()}, found {found.space.describe()}")
    expected = space.n_hemisphere(hemi) if hemi else space.n_locations
    if len(values) != expected:
        side = f" {HEMISPHERES[hemi]} hemisphere of" if hemi else ""
        guess = known_space(len(values), hemi=hemi or None)
        hint = f", as many as in {guess.name!r}" if guess else ""
        raise InputError(
            f"{where}: {expected} values are needed for the{side} {space.name!r}, found {len(values)}{hint}"
        )
    return values, n_absent
