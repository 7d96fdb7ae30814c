"""Reading a parcellation's labels: FreeSurfer annotations, GIFTI, CIFTI-2, NIfTI, MGH and numpy.

All come out alike: 0 is background, a region's number never moves because another region is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.bounds import open_npy
from cortax.brain.data.cifti import Structure, read_cifti
from cortax.brain.data.freesurfer import read_annotation
from cortax.brain.data.gifti import Hemi, gifti_hemisphere, in_vertex_order, intent, name_hemisphere, read_gifti
from cortax.brain.data.images import is_cifti, load_volume, pick_one
from cortax.brain.data.spaces import Space, volume_space
from cortax.data.files import DamagedFileError, ends_with, opened
from cortax.errors import InputError

__all__ = ["LabelValues", "is_background", "read_labels"]

# Names without the words for a hemisphere around them (`ctx-lh-`, `L_`, `-lh`).
_SIDE = r"(?:ctx|hemi|lh|rh|l|r|left|right)"
_NOTHING = (
    r"\?+|unknown|undefined|unassigned|unlabell?ed|unclassified|none|no[\W_]*label|clear[\W_]*label|background.*"
    r"|(?:.*[\W_])?m(?:edial)?[\W_]*wall(?:[\W_].*)?"
)
_BACKGROUND = re.compile(rf"(?:{_SIDE}[\W_]+)*(?:{_NOTHING})(?:[\W_]+{_SIDE})*", re.IGNORECASE)
_HEMI_IN_NAME = re.compile(r"(?:^|[-_.])(?:hemi-)?(L|R|lh|rh)(?=[._-])")


@dataclass(frozen=True)
class LabelValues:
    """A hard parcellation as its file has it.

    `labels` is 1-D int32, 0 where there is no region. `names` maps each other label of the file's table to its
    region, in rising order; a region may have no location. `background` are the other names of the table. `hemi`,
    `space`, `structures` and `order` are as in `MapValues`.
    """

    labels: NDArray[np.int32]
    names: dict[int, str]
    hemi: Hemi | None = None
    space: Space | None = None
    structures: tuple[Structure, ...] = ()
    background: tuple[str, ...] = ()
    order: NDArray[np.intp] | None = None


def is_background(name: str) -> bool:
    """Whether a region's name says that it is none.

    It does if nothing is left of it, or one of: ???, unknown, undefined, unassigned, unlabelled, unclassified, none,
    no label, clear label, background (and what follows), medial wall or mwall (and what is around it). The case, what
    separates words, and words for a hemisphere before and after (ctx, hemi, lh, rh, L, R, left, right) do not count.
    """
    return not name.strip() or _BACKGROUND.fullmatch(name.strip()) is not None


def read_labels(path: Path | str, *, pick: int | str | None = None) -> LabelValues:
    """Read a parcellation.

    Parameters
    ----------
    path : path
        .annot, .label.gii, .dlabel.nii, a volume (NIfTI, MGH) or array (.npy) of whole numbers. The last two
        have no names: a region is called by its number.
    pick : int or str, optional
        Which parcellation of a file with several: its index from 0, or its name (GIFTI, CIFTI).

    Returns
    -------
    LabelValues
        Labels named as background and those not in the file's table of an annotation become 0.

    Raises
    ------
    DamagedFileError
        Missing, empty, cut short, or not in the format of its name.
    InputError
        A map instead of labels, no table of labels, a label that is not in the table, two regions of one number or
        colour, or no region at all.
    """
    path = Path(path)
    with opened(path, "parcellation"):
        found = _read(path, pick)
    if not found.names or not found.labels.any():
        raise InputError(f"{path}: no region: every location is background")
    return found


def _read(path: Path, pick: int | str | None) -> LabelValues:
    if ends_with(path, ".annot"):
        return _read_annot(path)
    if ends_with(path, ".gii", ".gii.gz"):
        return _read_gifti(path, pick)
    if is_cifti(path):
        return _read_cifti(path, pick)
    if ends_with(path, ".npy"):
        return _numbered(path, np.array(open_npy(path)))
    if ends_with(path, ".nii", ".nii.gz", ".mgh", ".mgz", ".mgh.gz"):
        return _read_volume(path, pick)
    raise DamagedFileError(path, "not a parcellation: its name is not that of a known format")


def _read_annot(path: Path) -> LabelValues:
    colours, table = read_annotation(path)
    by_colour: dict[int, int] = {}
    worn = set(np.unique(colours).tolist())
    for number, (name, colour) in table.items():
        other = table[by_colour.setdefault(colour, number)][0]
        if other != name and colour in worn and not (is_background(name) and is_background(other)):
            raise InputError(f"{path}: regions {other!r} and {name!r} have one colour, so their vertices are either's")
    # A colour that is not in the table is no region.
    found, where = np.unique(colours, return_inverse=True)
    index = np.array([by_colour.get(colour, -1) for colour in found.tolist()])[where.ravel()]
    names = {number: name for number, (name, _) in table.items()}
    return _recode(path, index, names, hemi=name_hemisphere(path) or _hemisphere_in(path))


def _read_gifti(path: Path, pick: int | str | None) -> LabelValues:
    image = read_gifti(path)
    names: dict[int, str] = {}
    for label in image.labeltable.labels:
        name = str(label.label or "").strip()
        if names.setdefault(int(label.key), name) != name:
            raise InputError(f"{path}: labels {names[int(label.key)]!r} and {name!r} have one number, {label.key}")
    arrays = [array for array in image.darrays if intent(array) == "NIFTI_INTENT_LABEL"]
    if not arrays or not names:
        raise InputError(f"{path}: a GIFTI file without labels and their table")
    array = arrays[pick_one(path, pick, len(arrays), [str(a.meta.get("Name", "")) for a in arrays])]
    values = in_vertex_order(path, image, array.data.ravel())
    hemi = gifti_hemisphere(path, image, array) or _hemisphere_in(path)
    return _recode(path, _whole(path, values), names, hemi=hemi)


def _read_cifti(path: Path, pick: int | str | None) -> LabelValues:
    data, axes = read_cifti(path)
    if axes.labels is None:
        raise InputError(f"{path}: a CIFTI file without labels, a .dlabel.nii is needed")
    row = pick_one(path, pick, len(axes.maps), axes.maps)
    values = _whole(path, np.asarray(data[row]))
    about = {"space": axes.space, "structures": axes.structures, "order": axes.order}
    return _recode(path, values, axes.labels[row], **about)


def _read_volume(path: Path, pick: int | str | None) -> LabelValues:
    image = load_volume(path)
    data = np.asarray(image.dataobj)
    if data.ndim > 3:
        flat = data.reshape(*data.shape[:3], -1)
        data = flat[..., pick_one(path, pick, flat.shape[3])]
    found = _numbered(path, data)
    on_surface = data.size == max(data.shape)
    space = None if on_surface else volume_space(data.shape, image.affine)
    return LabelValues(found.labels, found.names, name_hemisphere(path) if on_surface else None, space)


def _numbered(path: Path, data: NDArray[Any]) -> LabelValues:
    labels = _whole(path, data.ravel())
    if labels.min(initial=0) < 0:
        raise InputError(f"{path}: labels must not be negative, found {labels.min()}")
    return LabelValues(labels, {int(n): str(n) for n in np.unique(labels) if n != 0})


def _whole(path: Path, data: NDArray[Any]) -> NDArray[np.int32]:
    if (
        data.dtype.kind not in "fiub"
        or not np.array_equal(data, np.round(data))
        or np.abs(data).max(initial=0) >= 2**31
    ):
        raise InputError(f"{path}: labels must be whole numbers, found {data.dtype} values that are not")
    return data.astype(np.int32)


def _recode(path: Path, found: NDArray[Any], table: Mapping[int, str], **about: Any) -> LabelValues:
    """Move background to 0, and nothing else unless a true region sits on 0."""
    names = {key: name for key, name in sorted(table.items()) if not is_background(name)}
    absent = sorted(set(np.unique(found).tolist()) - set(table) - {-1, 0})
    if absent:
        raise InputError(f"{path}: labels {absent[:5]} are not in the file's table")
    shift = max(0, 1 - min(names, default=1))
    labels = np.where(np.isin(found, list(names)), found + shift, 0).astype(np.int32)
    background = tuple(name for name in table.values() if is_background(name) and name)
    return LabelValues(labels, {key + shift: name for key, name in names.items()}, background=background, **about)


def _hemisphere_in(path: Path) -> Hemi | None:
    found = _HEMI_IN_NAME.search(path.name)
    if found is None:
        return None
    return "L" if found[1].upper().startswith("L") else "R"
