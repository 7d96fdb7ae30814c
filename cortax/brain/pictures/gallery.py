"""Pictures with their words, and how they lie on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cortax.brain.parcellation.atlas import Atlas
from cortax.brain.parcellation.project import back_project
from cortax.brain.pictures.drawing import draw_parcellation, draw_values, turnable
from cortax.store import load, save

__all__ = ["Gallery", "Picture", "open_pictures", "save_pictures", "show_importance", "show_parcellation"]

# The first of these that there is. A pattern says where the brain goes with the target; coefficients do not.
KINDS = {
    "pattern": "activation pattern (Haufe et al., 2014)",
    "permutation": "loss of score when the region is permuted",
}


@dataclass(frozen=True)
class Picture:
    """One picture: `title` is short, `alt` says what it shows, `caption` what to read from it; `data` is a PNG."""

    title: str
    alt: str
    caption: str
    data: bytes


@dataclass(frozen=True)
class Gallery:
    """Pictures, one of which may turn (`turning`, a page of HTML, and its title), and what was left out (`note`)."""

    pictures: tuple[Picture, ...]
    turning: tuple[str, str] | None = None
    note: str = ""


def show_parcellation(atlas: Atlas, called: str) -> Gallery:
    """Draw the regions of a parcellation; no picture where neither a mesh nor a grid of its space is known."""
    drawn = draw_parcellation(atlas)
    if drawn is None:
        return Gallery((), note=f"{called}: no mesh of space {atlas.space.describe()} is installed to draw it on")
    empty = int((atlas.sizes == 0).sum())
    caption = f"{called}: {atlas.n_regions} regions" + (f", {empty} of them without a location" if empty else "")
    caption += "" if atlas.is_hard else "; soft regions are drawn where they weigh most"
    where = "Both hemispheres from outside and inside" if atlas.space.kind == "surface" else "Three cuts"
    return Gallery((Picture(called, f"{where}, the regions of {caption}.", f"{caption}.", drawn),))


def show_importance(atlas: Atlas, table: pd.DataFrame, called: str, max_pictures: int) -> Gallery:
    """Draw the mean importance of every region, target by target and map by map.

    Parameters
    ----------
    atlas : Atlas
    table : DataFrame
        See `cortax.learning.importance.found.average`.
    called : str
        Parcellation and pipeline.
    max_pictures : int
        Further ones are counted in the note.
    """
    kind = next(name for name in KINDS if (table["kind"] == name).any())
    shown = table[table["kind"] == kind].dropna(subset=["mean"])
    shown = shown if "class" in shown else shown.assign(**{"class": ""})
    groups = list(shown.groupby(["target", "class", "map"], sort=False))
    pictures, turning = [], None
    for (target, number, one_map), part in groups[:max_pictures]:
        of_class = f"class {number}" if number else ""
        title = ", ".join(str(each) for each in (target, of_class, one_map) if each)
        values = _values(atlas, part)
        drawn = draw_values(atlas.space, values, kind)
        if drawn is None:
            return Gallery((), note=f"{called}: no mesh of space {atlas.space.describe()} is installed to draw it on")
        strongest = part.loc[part["mean"].abs().nlargest(3).index]
        words = ", ".join(f"{r.region} {r.mean:.2g} (SD over folds {r.sd:.2g})" for r in strongest.itertuples())
        caption = f"{called}, {title}: {KINDS[kind]}, mean over outer folds. Strongest: {words}."
        pictures.append(Picture(title, f"Brain map. {caption}", caption, drawn))
        if turning is None and (html := turnable(atlas.space, values, title)):
            turning = (f"{called}, {title}", html)
    left = len(groups) - len(pictures)
    note = f"{called}: {left} more maps are not drawn here; `cortax export` writes any of them" if left else ""
    return Gallery(tuple(pictures), turning, note)


def _values(atlas: Atlas, part: pd.DataFrame) -> NDArray[np.float64]:
    by_region = part.set_index("region")["mean"].reindex(list(atlas.regions)).to_numpy(dtype=np.float64)
    found: NDArray[np.float64] = back_project(atlas, by_region[None])[0]
    return found


def save_pictures(folder: str | Path, gallery: Gallery) -> list[str]:
    """Write a gallery into a folder; return the names of its files."""
    entries, files = [], {}
    for number, picture in enumerate(gallery.pictures):
        file = f"picture-{number}.png"
        files[file] = picture.data
        entries.append({"title": picture.title, "alt": picture.alt, "caption": picture.caption, "file": file})
    about = {"pictures": entries, "turning": None, "note": gallery.note}
    if gallery.turning:
        about["turning"], html = gallery.turning
        files["turning.html"] = html.encode()
    return save(folder, {"pictures.json": about, **files}, sort_keys=False)


def open_pictures(folder: str | Path) -> Gallery:
    """Read what `save_pictures` wrote."""
    (about,) = load(folder, "pictures.json")
    pictures = tuple(
        Picture(one["title"], one["alt"], one["caption"], *load(folder, one["file"])) for one in about["pictures"]
    )
    turning = None
    if about["turning"]:
        (html,) = load(folder, "turning.html")
        turning = about["turning"], html.decode()
    return Gallery(pictures, turning, about["note"])
