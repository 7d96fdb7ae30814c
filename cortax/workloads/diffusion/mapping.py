"""Maps of a fit as files: NIfTI images on the grid of the input, sidecars, and what is counted of them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cortax.learning.arrays import Floats
from cortax.store import save
from cortax.workloads.diffusion.models.fit import Fit, Status, take
from cortax.workloads.diffusion.models.maps import MAPS, compute_map
from cortax.workloads.diffusion.names import STATUS, map_files
from cortax.workloads.diffusion.store import open_fit
from cortax.workloads.diffusion.volumes import Volume, open_volume

__all__ = ["save_maps"]

# For which a map is computed at a time; each has the same bits alone.
_VOXELS = 4096
# No status of a voxel.
_OUTSIDE = 255
_FRAME = (
    "directions and bases have the axes of the bvec file, as FSL has it: those of the image, the first mirrored where "
    "the determinant of the affine is positive; nothing was turned to scanner space"
)


def save_maps(
    folder: str | Path, volumes: Sequence[str | Path], fits: Sequence[str | Path], options: Mapping[str, Any]
) -> list[str]:
    """Write the maps of a model into a folder, with a table of what they hold; return the names of the files.

    `volumes`, `fits`: the folders of the jobs of each block of voxels.

    Maps are float32, NaN where nothing was fitted and 0 outside the mask; the status is uint8, 255 outside. Same maps,
    same bytes. `options`: those of a `diffusion_maps` job.

    Raises
    ------
    CortaxError
        An input is damaged, or the model has no such map.
    """
    volume = open_volume(*volumes)
    fit = open_fit(fits, volume.rows)
    files, rows = [], []
    for name in options["maps"]:
        values = _compute(name, options["kind"], fit, volume)
        content = values.astype(np.float32)
        image = volume.image(content[:, 0] if content.shape[1] == 1 else content)
        files += _save(folder, options["stem"], name, image, _sidecar(name, values, volume, options))
        if values.shape[1] == 1:
            rows.append(_row(name, values[:, 0]))
    levels = {str(int(status)): status.sentence for status in Status} | {str(_OUTSIDE): "outside the mask"}
    status_image = volume.image(np.asarray(fit.status), outside=_OUTSIDE)
    sidecar = {"Description": "what became of each voxel", "Levels": levels} | _common(volume, options)
    files += _save(folder, options["stem"], STATUS, status_image, sidecar)
    columns = ["map", "unit", "n_voxels", "mean", "sd", "minimum", "p5", "median", "p95", "maximum"]
    return [*files, *save(folder, {"maps.parquet": pd.DataFrame(rows, columns=columns)})]


def _compute(name: str, kind: str, fit: Fit, volume: Volume) -> Floats:
    """Compute a map, some voxels at a time: on the way a voxel takes many times what it has in the end."""
    parts = [take(fit, slice(start, start + _VOXELS)) for start in range(0, len(volume), _VOXELS)]
    return np.concatenate([compute_map(name, kind, part, gradients=volume.gradients) for part in parts])


def _save(folder: str | Path, stem: str, name: str, image: Any, sidecar: Mapping[str, Any]) -> list[str]:
    packed, text = map_files(stem, [name])[:2]
    # As it is written, not as a whole; and without name and time, which gzip would note.
    with (Path(folder) / packed).open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as out:
        image.to_stream(out)
    return [packed, *save(folder, {text: sidecar})]


def _sidecar(name: str, values: Floats, volume: Volume, options: Mapping[str, Any]) -> dict[str, Any]:
    sidecar = {
        "Description": MAPS[name].title,
        "Units": MAPS[name].unit or "1",
        "NotFitted": "NaN; see the map of the status",
        **_common(volume, options),
    }
    if values.shape[1] > 1:
        sidecar["Components"] = values.shape[1]
    return sidecar


def _common(volume: Volume, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Model": {"Kind": options["kind"], "Solver": options["solver"], "Parameters": options["options"]},
        "Sources": options["sources"],
        "OrientationReference": _FRAME,
        "Notes": list(volume.notes),
    }


def _row(name: str, values: Floats) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    row = {"map": name, "unit": MAPS[name].unit, "n_voxels": len(known)}
    if not len(known):
        return row | dict.fromkeys(("mean", "sd", "minimum", "p5", "median", "p95", "maximum"), np.nan)
    minimum, p5, median, p95, maximum = np.percentile(known, [0, 5, 50, 95, 100])
    spread = {"minimum": minimum, "p5": p5, "median": median, "p95": p95, "maximum": maximum}
    return row | {"mean": known.mean(), "sd": known.std(), **spread}
