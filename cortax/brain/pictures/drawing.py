"""Drawing with nilearn: four views of a surface, three cuts of a volume, and one that turns."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.meshes import Mesh
from cortax.brain.data.spaces import Space
from cortax.brain.parcellation.atlas import Atlas
from cortax.brain.pictures.colours import colour_regions, winners
from cortax.brain.pictures.surfaces import Hemisphere, hemispheres

# Nilearn and matplotlib take seconds to import, which every build would pay for the few jobs that draw.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_parcellation", "draw_values", "turnable"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
# Without annotations of its own.
_nifti: Any = nib.nifti1

# Okabe and Ito's, lightest and darkest left out.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7A5C3E")
DIVERGING = "PuOr_r"
VIEWS = (("left", "lateral"), ("left", "medial"), ("right", "medial"), ("right", "lateral"))
# Of the palette of a picture: half the bytes, and nobody sees it.
N_COLOURS = 256


def draw_parcellation(atlas: Atlas) -> bytes | None:
    """Draw the regions of a parcellation, neighbours in different colours; the strongest region of a soft one.

    Returns
    -------
    bytes or None
        A PNG; None where neither a mesh nor a grid of its space is known.
    """
    from matplotlib.colors import ListedColormap
    from nilearn.plotting import plot_roi

    labels = winners(atlas)
    if atlas.space.kind == "volume":
        colours = colour_regions(labels, _grid_neighbours(atlas.space))
        # From 1: nilearn leaves 0 out.
        numbers = np.where(colours < 0, 0, colours % len(PALETTE) + 1).astype(np.float64)
        return _cuts(atlas.space, numbers, plot_roi, ListedColormap(PALETTE), (1.0, len(PALETTE)))
    flat = hemispheres(atlas.space, labels.astype(np.float64))
    if not flat:
        return None
    coloured = []
    for half in flat:
        edges = [(half.mesh.faces[:, i], half.mesh.faces[:, (i + 1) % 3]) for i in range(3)]
        colours = colour_regions(half.values.astype(np.int64), edges).astype(np.float64)
        coloured.append(Hemisphere(half.side, half.mesh, np.where(colours < 0, np.nan, colours % len(PALETTE))))
    return _views(coloured, ListedColormap(PALETTE), (-0.5, len(PALETTE) - 0.5), label=None)


def draw_values(space: Space, values: Floats, label: str) -> bytes | None:
    """Draw a map whose zero means nothing: both signs in colours that differ in lightness from it alike.

    Parameters
    ----------
    space : Space
    values : float64 array of shape (n_locations,)
        NaN for none.
    label : str
        What the values are, with their unit.
    """
    from nilearn.plotting import plot_stat_map

    limit = _limit(values)
    if space.kind == "volume":
        return _cuts(space, values, plot_stat_map, DIVERGING, (-limit, limit), label)
    halves = hemispheres(space, values)
    return _views(halves, DIVERGING, (-limit, limit), label=label) if halves else None


def turnable(space: Space, values: Floats, title: str) -> str | None:
    """Return a page of HTML with the brain that a mouse turns; None where no mesh is installed."""
    from nilearn.plotting import view_surf
    from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage

    halves = hemispheres(space, values, "pial")
    if not halves:
        return None
    mesh = PolyMesh(**{half.side: InMemoryMesh(half.mesh.coordinates, half.mesh.faces) for half in halves})
    image = SurfaceImage(mesh, {half.side: np.nan_to_num(half.values).astype(np.float32) for half in halves})
    view = view_surf(
        mesh,
        image,
        hemi="both",
        cmap=DIVERGING,
        symmetric_cmap=True,
        vmax=_limit(values),
        title=title,
        title_fontsize=14,
    )
    return _quiet(str(view.html))


def _quiet(page: str) -> str:
    """Load nothing from elsewhere, and take no notice of windows that change before there is a picture."""
    page = re.sub(r"<link[^>]*\bicon\b[^>]*>", "", page)
    relayout = "Plotly.relayout(plotDivId, layout)"
    return page.replace(relayout, f"if (document.getElementById(plotDivId).layout) {relayout}")


def _limit(values: Floats) -> float:
    return float(np.nanmax(np.abs(values), initial=0.0)) or 1.0


def _views(halves: list[Hemisphere], cmap: Any, limits: tuple[float, float], *, label: str | None) -> bytes:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from nilearn.plotting import plot_surf

    figure = Figure(figsize=(9.6, 2.3))
    by_side = {half.side: half for half in halves}
    for place, (side, view) in enumerate(VIEWS):
        axes = figure.add_axes((0.22 * place, 0.0, 0.24, 0.92), projection="3d")
        half = by_side[side]
        plot_surf(
            (half.mesh.coordinates, _facing(half.mesh, side, view)),
            half.values,
            hemi=side,
            view=view,
            cmap=cmap,
            vmin=limits[0],
            vmax=limits[1],
            avg_method="median",
            colorbar=False,
            engine="matplotlib",
            axes=axes,
            figure=figure,
        )
        axes.set_title(f"{side}, {view}", fontsize=9, y=0.97)
    if label is not None:
        bar = figure.colorbar(
            ScalarMappable(Normalize(*limits), cmap), cax=figure.add_axes((0.9, 0.18, 0.012, 0.64)), format="%.2g"
        )
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return _png(figure)


def _facing(mesh: Mesh, side: str, view: str) -> Ints:
    """Return the triangles that do not turn away from who looks at the surface, along x: half the time of a picture.

    Those a little beyond the edge are kept, too: the nearer a camera, the less is hidden.
    """
    corners = mesh.coordinates[mesh.faces]  # (n_faces, 3 corners, 3 axes)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = 1.0 if (side, view) in (("left", "medial"), ("right", "lateral")) else -1.0
    facing: Ints = mesh.faces[towards * normals[:, 0] > -0.3 * np.linalg.norm(normals, axis=1)]
    return facing


def _cuts(
    space: Space, values: Floats, show: Any, cmap: Any, limits: tuple[float, float], label: str | None = None
) -> bytes:
    """Three cuts through the middle of what there is."""
    from matplotlib.figure import Figure
    from nilearn.image import new_img_like

    grid = np.nan_to_num(values).reshape(space.shape).astype(np.float32)
    image = _nifti.Nifti1Image(grid, np.array(space.affine))
    figure = Figure(figsize=(9.6, 3.2))
    with warnings.catch_warnings():
        # nilearn says so of every volume that has no template behind it.
        warnings.filterwarnings("ignore", message=".*(bg_img|Non-finite|empty mask).*")
        show(
            image,
            bg_img=new_img_like(image, np.zeros(space.shape)),
            figure=figure,
            cmap=cmap,
            vmin=limits[0],
            vmax=limits[1],
            colorbar=label is not None,
            title=label,
            black_bg=False,
        )
    return _png(figure)


def _grid_neighbours(space: Space) -> list[tuple[Any, Any]]:
    places = np.arange(int(np.prod(space.shape))).reshape(space.shape)
    return [(np.delete(places, -1, axis=axis).ravel(), np.delete(places, 0, axis=axis).ravel()) for axis in range(3)]


def _png(figure: Figure) -> bytes:
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100, metadata={"Software": None})
    picture = (
        Image.open(drawn)
        .convert("RGB")
        .quantize(N_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    out = io.BytesIO()
    picture.save(out, format="PNG", optimize=True)
    return out.getvalue()
