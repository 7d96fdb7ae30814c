"""Maps, atlases and regions in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pandas as pd

from cortax.brain.data import maps as map_store
from cortax.brain.data import simulate as simulation
from cortax.brain.data.dropped import tally
from cortax.brain.data.map_files import find_maps
from cortax.brain.data.maps import Maps, open_maps, space_of
from cortax.brain.data.name_lists import SubjectList
from cortax.brain.data.spaces import Space
from cortax.brain.parcellation import apply
from cortax.brain.parcellation.atlas import Atlas
from cortax.brain.parcellation.specs import KINDS, atlas_from_spec
from cortax.data.packages import FOLDER
from cortax.errors import AtlasError, ProjectError, choices
from cortax.project import find_root

__all__ = ["EMBEDDED", "load_atlas", "load_maps", "parcellate", "simulate"]

# Of `input/packages/chimera`, by the name that `load_atlas` knows them by.
EMBEDDED = {
    "brainnetome": "brainnetome",
    "hcp-mmp": "HCPMM1",
    "lausanne-68": "Lausanne2018_scale-1",
    "lausanne-114": "Lausanne2018_scale-2",
    "lausanne-219": "Lausanne2018_scale-3",
    "schaefer-100": "Schaefer2018_seg-7n_scale-100",
    "schaefer-200": "Schaefer2018_seg-7n_scale-200",
    "schaefer-400": "Schaefer2018_seg-7n_scale-400",
    "schaefer-1000": "Schaefer2018_seg-7n_scale-1000",
    "yeo-7": "Yeo2011_seg-7n",
}

_SIMULATED = {
    "thickness": "{participant_id}/anat/{participant_id}_hemi-{hemi}_thickness.shape.gii",
    "sulc": "{participant_id}/anat/{hemi_fs}.sulc.mgh",
}


def simulate(folder: str | Path, *, n_subjects: int = 300, seed: int = 2021) -> Maps:
    """Write a SIMULATED cohort on the fsaverage5 surface, unless it is there already, and load its maps.

    Parameters
    ----------
    folder : path
        A cohort of other parameters in it is replaced. `participants.tsv` in it has the phenotypes.
    n_subjects : int
        At least 20; some have damaged files on purpose, and are left out.
    seed : int

    Returns
    -------
    Maps
        See `load_maps`; the maps are "sulc" and "thickness".

    Raises
    ------
    InputError
        There are too few subjects, or something else is in the folder.

    Examples
    --------
    >>> maps = cortax.simulate("cohort", n_subjects=20, seed=1)
    5 left out: ...
    >>> maps.maps, maps.values.shape[1:], maps.values.dtype.name
    (('sulc', 'thickness'), (2, 20484), 'float32')
    """
    simulation.simulate(folder, n_subjects=n_subjects, seed=seed)
    return load_maps(folder, _SIMULATED, max_missing=0.05, outlier_sd=10.0)


def load_maps(
    root: str | Path,
    patterns: Mapping[str, str],
    *,
    subjects: Sequence[str] | None = None,
    space: str = "fsaverage5",
    max_missing: float = 0.0,
    outlier_sd: float | None = 10.0,
    damaged: Literal["drop", "error"] = "drop",
) -> Maps:
    """Read the maps of a cohort from image files, as `[images]` of a study does.

    Parameters
    ----------
    root : path
    patterns : mapping of map to pattern
        Such as `"{participant_id}/surf/{hemi_fs}.thickness.fsaverage5.mgh"`, relative to `root`; without
        `{participant_id}` one file of everybody.
    subjects : sequence of str, optional
        Who the rows of files of everybody are, in their order; by default the names that CIFTI files of scalars have.
    space : str
        Of all maps: "fsaverage5", "fsLR-32k", "grayordinates-91k", ..., or "volume" (the grid of the first image).
    max_missing : float
        The share of a map's locations that may lack data.
    outlier_sd : float, or None
        Subjects whose spread over a map is so many robust standard deviations from the median are left out; not
        applied to fewer than 10 subjects, which is printed.
    damaged : {"drop", "error"}
        What to do with a subject whose files are missing or damaged, or have infinite values.

    Returns
    -------
    Maps
        `values`, float32 of shape (n_subjects, n_maps, n_locations), on disk and read-only, NaN for no data;
        `subjects`, sorted; `maps`, sorted; `space`. Who is left out is printed.

    Raises
    ------
    InputError
        A file does not fit the space or a pattern no file, or no subject is left.

    Examples
    --------
    >>> _ = cortax.simulate("cohort", n_subjects=40, seed=1)
    5 left out: ...
    >>> maps = cortax.load_maps("cohort", {"sulc": "{participant_id}/anat/{hemi_fs}.sulc.mgh"})
    1 left out: ...
    >>> maps.values.shape == (len(maps.subjects), 1, 20484)
    True
    """
    rows = None if subjects is None else SubjectList("subjects", tuple(subjects))
    files = find_maps(root, patterns, subjects=rows)
    where = space_of(files, space)
    # The system keeps the values of the deleted file for as long as they are used.
    with TemporaryDirectory() as folder:
        loaded = map_store.load_maps(
            files, folder, space=where, max_missing=max_missing, outlier_sd=outlier_sd, damaged=damaged
        )
        maps = open_maps(folder)
    for note in loaded.notes:
        print(note)
    if loaded.dropped:
        print(f"{len(loaded.dropped)} left out: {tally(loaded.dropped)}")
    return maps


def load_atlas(name: str, *, space: str | Space = "fsaverage5", root: str | Path | None = None, **spec: Any) -> Atlas:
    """Load an embedded parcellation, or make one of files or by rule.

    Parameters
    ----------
    name : str
        With no other keys one of the parcellations of fsaverage that `cortax data` brings, such as "schaefer-100"
        or "hcp-mmp", or a generated one by kind and number of regions: "voronoi-100", "random-growth-100",
        "icosahedral-84", "ward-200" (with seed 0 where there is one).
    space : str or Space
        Of the maps that it is for.
    root : path, optional
        What files are relative to; by default the project, or this folder where there is none.
    **spec
        Keys of `[parcellations.<name>]` of a study: `left`, `right`, `file`, `names`, `n_regions`, `seed`, ...; `kind`
        is "labels" unless it is given.

    Returns
    -------
    Atlas
        `regions`, names; `weights`, sparse float64 of shape (n_regions, n_locations). A region without locations stays.

    Raises
    ------
    AtlasError
        The name or a key is unknown, or a file is missing, damaged or does not fit the space.

    Examples
    --------
    >>> cortax.load_atlas("icosahedral-84").n_regions
    84
    >>> cortax.load_atlas("coarse", kind="voronoi", n_regions=12, seed=1).regions[:2]
    ('L_0001', 'L_0002')
    """
    where = Space.from_name(space) if isinstance(space, str) else space
    folder = _project(root)
    made = {"kind": "labels", **spec} if spec else _named(name, folder)
    return atlas_from_spec(made, name=name, space=where, root=folder)


def _project(root: str | Path | None) -> Path:
    if root is not None:
        return Path(root)
    try:
        return find_root()
    except ProjectError:
        return Path()


def _named(name: str, root: Path) -> dict[str, Any]:
    if name in EMBEDDED:
        files = {side: _annotation(EMBEDDED[name], side[0].upper()) for side in ("left", "right")}
        if missing := [str(root / file) for file in files.values() if not (root / file).exists()]:
            raise AtlasError(f"atlas {name!r}: run `cortax data` first; missing: {missing}")
        return {"kind": "labels", **files, "resample": "nested"}
    kind, _, number = name.rpartition("-")
    if kind not in KINDS or not number.isdecimal() or kind in ("labels", "weights"):
        generated = [f"{kind}-84" for kind in KINDS if kind not in ("labels", "weights")]
        raise AtlasError(f"atlas: {choices(name, [*EMBEDDED, *generated])}, or say how it is made")
    if kind != "icosahedral":
        return {"kind": kind, "n_regions": int(number), **({} if kind == "ward" else {"seed": 0})}
    sizes = {2 * (10 * 4**level + 2): level for level in range(5)}
    if int(number) not in sizes:
        raise AtlasError(f"atlas {name!r}: an icosahedral one has {sorted(sizes)} regions. Got {number} instead")
    return {"kind": kind, "level": sizes[int(number)]}


def _annotation(atlas: str, hemi: str) -> str:
    return str(FOLDER / "chimera" / f"tpl-fsaverage_hemi-{hemi}_den-164k_atlas-{atlas}_dseg.label.annot")


def parcellate(maps: Maps, atlas: Atlas, *, statistic: str | None = None) -> pd.DataFrame:
    """Summarise every map within every region.

    Parameters
    ----------
    maps : Maps
    atlas : Atlas
        In the space of the maps.
    statistic : {"mean", "median", "std"}, optional
        By default the atlas's own, "mean".

    Returns
    -------
    DataFrame of float32, of shape (n_subjects, n_maps * n_regions)
        A row a subject, a column "map:region" a map and region: all regions of the first map, then of the second.
        A region without data is a column of NaN, never missing, so that names cannot shift.

    Raises
    ------
    AtlasError
        Spaces differ, or the atlas does not allow the statistic.

    Examples
    --------
    >>> maps = cortax.simulate("cohort", n_subjects=20, seed=1)
    5 left out: ...
    >>> X = cortax.parcellate(maps, cortax.load_atlas("icosahedral-84"))
    >>> X.shape == (len(maps.subjects), 2 * 84), X.columns[0]
    (True, 'sulc:L_0001')
    """
    values = apply.parcellate(maps.values, atlas, space=maps.space, statistic=statistic)
    columns = apply.column_names(maps.maps, atlas.regions)
    return pd.DataFrame(values, index=pd.Index(maps.subjects, name="subject"), columns=list(columns))
