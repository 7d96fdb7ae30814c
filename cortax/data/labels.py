"""Reading a parcellation's labels: FreeSurfer annotations, GIFTI, CIFTI-2, NIfTI, MGH and numpy.

All come out alike: 0 is background, a region's number never moves because another region is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.freesurfer.io import read_annot
from numpy.typing import NDArray

from cortax.data.cifti import Structure, cifti_space, read_cifti
from cortax.data.files import DamagedFileError, ends_with, opened
from cortax.data.images import Hemi, gifti_hemisphere, is_cifti, load_volume, name_hemisphere, pick_one
from cortax.data.spaces import Space, volume_space
from cortax.errors import InputError

__all__ = ["LabelValues", "is_background", "read_labels"]

_BACKGROUND = re.compile(r"\?*|(ctx[-_])?([lr]h[-_.])?unknown|background.*|.*medial[-_ ]?wall.*", re.IGNORECASE)
_HEMI_IN_NAME = re.compile(r"(?:^|[-_.])(?:hemi-)?(L|R|lh|rh)(?=[._-])")


@dataclass(frozen=True)
class LabelValues:
    """A hard parcellation as its file has it.

    `labels` is 1-D int32, 0 where there is no region. `names` maps each other label of the file's table to its
    region, in rising order; a region may have no location. `hemi`, `space` and `structures` are as in `MapValues`.
    """

    labels: NDArray[np.int32]
    names: dict[int, str]
    hemi: Hemi | None = None
    space: Space | None = None
    structures: tuple[Structure, ...] = ()


def is_background(name: str) -> bool:
    """Whether a region's name says that it is none: unknown, ???, medial wall, background."""
    return _BACKGROUND.fullmatch(name.strip()) is not None


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
        A map instead of labels, no table of labels, a label that is not in the table, or no region at all.
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
        return _numbered(path, np.load(path, allow_pickle=False))
    if ends_with(path, ".nii", ".nii.gz", ".mgh", ".mgz"):
        return _read_volume(path, pick)
    raise DamagedFileError(path, "not a parcellation: its name is not that of a known format")


def _read_annot(path: Path) -> LabelValues:
    # nibabel's own indexing gives a colour that is not in the table its neighbour's region: look colours up here.
    colours, table, raw_names = read_annot(path, orig_ids=True)  # type: ignore[no-untyped-call]
    names = {i: name.decode("utf-8", "replace").strip() for i, name in enumerate(raw_names)}
    order = np.argsort(table[:, 4], kind="stable")
    rank = np.clip(np.searchsorted(table[order, 4], colours), 0, len(order) - 1)
    index = np.where(table[order[rank], 4] == colours, order[rank], -1)
    labels, names = _recode(path, index, names)
    return LabelValues(labels, names, name_hemisphere(path) or _hemisphere_in(path))


def _read_gifti(path: Path, pick: int | str | None) -> LabelValues:
    image: Any = nib.load(path)
    names = {int(k): str(v) for k, v in image.labeltable.get_labels_as_dict().items()}
    arrays = [a for a in image.darrays if nib.nifti1.intent_codes.niistring[a.intent] == "NIFTI_INTENT_LABEL"]
    if not arrays or not names:
        raise InputError(f"{path}: a GIFTI file without labels and their table")
    array = arrays[pick_one(path, pick, len(arrays), [str(a.meta.get("Name", "")) for a in arrays])]
    labels, names = _recode(path, array.data.ravel(), names)
    return LabelValues(labels, names, gifti_hemisphere(image, array))


def _read_cifti(path: Path, pick: int | str | None) -> LabelValues:
    data, axes = read_cifti(path)
    if axes.labels is None:
        raise InputError(f"{path}: a CIFTI file without labels, a .dlabel.nii is needed")
    row = pick_one(path, pick, len(axes.maps), axes.maps)
    labels, names = _recode(path, _whole(path, np.asarray(data[row])), axes.labels[row])
    return LabelValues(labels, names, space=cifti_space(axes.structures), structures=axes.structures)


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


def _recode(path: Path, found: NDArray[Any], table: Mapping[int, str]) -> tuple[NDArray[np.int32], dict[int, str]]:
    """Move background to 0, and nothing else unless a true region sits on 0."""
    names = {key: name for key, name in sorted(table.items()) if not is_background(name)}
    absent = sorted(set(np.unique(found).tolist()) - set(table) - {-1, 0})
    if absent:
        raise InputError(f"{path}: labels {absent[:5]} are not in the file's table")
    shift = max(0, 1 - min(names, default=1))
    labels = np.where(np.isin(found, list(names)), found + shift, 0).astype(np.int32)
    return labels, {key + shift: name for key, name in names.items()}


def _hemisphere_in(path: Path) -> Hemi | None:
    found = _HEMI_IN_NAME.search(path.name)
    if found is None:
        return None
    return "L" if found[1].upper().startswith("L") else "R"
