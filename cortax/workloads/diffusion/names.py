"""Names of the files that maps are exported as: those of BIDS derivatives."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cortax.brain.data.image_names import ScanKey
from cortax.workloads.diffusion.models.maps import MAPS

__all__ = ["STATUS", "bids_entities", "bids_label", "file_stem", "map_files", "map_names"]

# Of every fit there is a map of what became of each voxel.
STATUS = "status"
_ENTITIES = ("sub", "ses", "run")


def bids_label(text: str) -> str:
    """Return letters and digits only, as labels of BIDS are.

    >>> bids_label("free-water")
    'freewater'
    """
    return re.sub(r"[^A-Za-z0-9]", "", text)


def bids_entities(scan: ScanKey) -> tuple[str, ...]:
    """Return whose a volume is, as names of BIDS say it.

    >>> bids_entities(ScanKey("sub-01", "1", ""))
    ('sub-01', 'ses-1')
    """
    pairs = zip(_ENTITIES, scan, strict=True)
    return tuple(f"{short}-{bids_label(value.removeprefix(f'{short}-'))}" for short, value in pairs if value)


def file_stem(scan: ScanKey, model: str) -> str:
    """Return what the names of all maps of a model begin with."""
    return "_".join([*bids_entities(scan), f"model-{bids_label(model)}"])


def map_names(kind: str) -> list[str]:
    """Return the maps that a kind of models has."""
    return [name for name, each in MAPS.items() if kind in each.kinds]


def map_files(stem: str, maps: Iterable[str]) -> list[str]:
    """Return the files of maps and of the status: an image and a sidecar each."""
    stems = [f"{stem}_param-{bids_label(name)}_dwimap" for name in (*maps, STATUS)]
    return [f"{each}.{ending}" for each in stems for ending in ("nii.gz", "json")]
