"""CIFTI-2: one file for the whole brain, its cortex without the medial wall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis, ScalarAxis, SeriesAxis
from nibabel.cifti2.parse_cifti2 import Cifti2Parser
from numpy.typing import NDArray

from cortax.data.spaces import SPACES, Space
from cortax.errors import InputError

__all__ = ["CORTEX", "CiftiAxes", "Structure", "cifti_space", "expand_cortex", "read_cifti"]

CORTEX = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")


@dataclass(frozen=True)
class Structure:
    """A structure and its grayordinates `start:stop`: some `vertices` of its `n_vertices` if it is a surface."""

    name: str
    start: int
    stop: int
    n_vertices: int = 0
    vertices: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class CiftiAxes:
    """What a CIFTI header says: names of the maps, tables of labels if any, structures of the grayordinates."""

    maps: tuple[str, ...]
    labels: tuple[Mapping[int, str], ...] | None
    structures: tuple[Structure, ...]


def read_cifti(path: Path) -> tuple[Any, CiftiAxes]:
    """Open a dense CIFTI-2 file (maps x grayordinates).

    Returns
    -------
    data : array proxy of shape (n_maps, n_grayordinates)
    axes : CiftiAxes

    Raises
    ------
    InputError
        The file is CIFTI-2, but not dense (parcels, connectivity).
    """
    image: Any = nib.Nifti2Image.from_filename(path, mmap=False)
    extension = next((e for e in image.header.extensions if e.get_code() == 32), None)
    if extension is None:
        raise InputError(f"{path}: a NIfTI file without the CIFTI-2 header that its name promises")
    axes = _parse(extension.content)
    if axes is None:
        raise InputError(f"{path}: a CIFTI file of maps x grayordinates is needed (dscalar, dtseries, dlabel)")
    # On disk the matrix is 6-D, (1, 1, 1, 1, maps, grayordinates).
    return image.dataobj.reshape(image.shape[-2:]), axes


# The XML takes longer to parse than the numbers to read, and is the same in every subject of a cohort.
@lru_cache(maxsize=8)
def _parse(xml: bytes) -> CiftiAxes | None:
    parser = Cifti2Parser()  # type: ignore[no-untyped-call]
    parser.parse(string=xml.rstrip(b"\0"))  # type: ignore[no-untyped-call]
    header: Any = parser.header
    maps, brain = header.get_axis(0), header.get_axis(1)
    if not isinstance(brain, BrainModelAxis) or not isinstance(maps, (ScalarAxis, SeriesAxis, LabelAxis)):
        return None
    # A series numbers its maps; only scalars and labels name them.
    names = range(len(maps)) if isinstance(maps, SeriesAxis) else maps.name
    labels = None
    if isinstance(maps, LabelAxis):
        labels = tuple({int(k): str(v[0]) for k, v in table.items()} for table in maps.label)
    structures = brain.iter_structures()  # type: ignore[no-untyped-call]
    return CiftiAxes(tuple(map(str, names)), labels, tuple(_structure(*model) for model in structures))


def _structure(name: str, where: slice, model: Any) -> Structure:
    start, stop = where.start or 0, (where.start or 0) + len(model)
    if name not in model.nvertices:
        return Structure(name, start, stop)
    return Structure(name, start, stop, int(model.nvertices[name]), np.asarray(model.vertex, dtype=np.int64))


def cifti_space(structures: tuple[Structure, ...]) -> Space:
    """Describe the file's own grayordinates: cortex left, cortex right, all others."""
    count = {s.name: s.stop - s.start for s in structures}
    left, right = (count.get(name, 0) for name in CORTEX)
    space = Space(
        "grayordinates", "grayordinates", n_left=left, n_right=right, n_other=sum(count.values()) - left - right
    )
    return next((known for known in SPACES.values() if known.matches(space)), space)


def expand_cortex(values: NDArray[Any], structures: tuple[Structure, ...], *, fill: float) -> NDArray[Any]:
    """Spread cortical grayordinates over all vertices of both hemispheres.

    Parameters
    ----------
    values : array of shape (n_grayordinates,)
    structures : of the file that the values are from
    fill : float
        For vertices outside the file (the medial wall).

    Returns
    -------
    array of shape (n_left + n_right,), dtype of `values`
        Grayordinates outside the cortex are left out.

    Raises
    ------
    InputError
        A hemisphere is not in the file.
    """
    by_name = {s.name: s for s in structures}
    halves = []
    for name in CORTEX:
        if name not in by_name or by_name[name].vertices is None:
            raise InputError(f"no structure {name}; the file holds {sorted(by_name)}")
        s = by_name[name]
        half = np.full(s.n_vertices, fill, dtype=values.dtype)
        half[s.vertices] = values[s.start : s.stop]
        halves.append(half)
    return np.concatenate(halves)
