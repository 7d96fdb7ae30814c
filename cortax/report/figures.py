"""Drawing: one style for all figures, and figures as markup that stands in the page."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

# Matplotlib takes a second to import, which every build would pay for the one job that draws.
if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = [
    "COLOURS",
    "HEAT",
    "as_pixels",
    "as_png",
    "as_svg",
    "embed_png",
    "log_axis",
    "marks_of",
    "new_figure",
    "put_legend",
    "style",
]

# Okabe and Ito (2008): told apart with any kind of colour vision; markers tell the same without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# Even in lightness, so that a print in grey reads the same.
HEAT = "cividis"
# More points than these are drawn as pixels: one by one they would be a megabyte.
MANY_POINTS = 300
N_SHADES = 128
# Ticks of a log axis within a decade, the finest first.
STEPS = ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1,))
MANY_TICKS = 10

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    # Letters stay letters: they can be searched, read aloud and scaled.
    "svg.fonttype": "none",
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    # The same figure is the same bytes.
    "svg.hashsalt": "cortax",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the page."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float) -> Canvas:
    """Return an empty figure, in inches. It belongs to nobody: no window, nothing to close."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height))


def as_svg(figure: Canvas, alt: str) -> str:
    """Return a figure as an `svg` element with a text for who cannot see it."""
    text = io.StringIO()
    with style():
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    markup = text.getvalue()
    markup = markup[markup.index("<svg") :]
    return _apart(markup, alt)


def _apart(markup: str, alt: str) -> str:
    """Name an svg, and keep its own names from meeting those of others on the page."""
    # What only people who edit drawings need: a sixth of the bytes.
    markup = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", markup, flags=re.S)
    markup = re.sub(r">\s+<", "><", markup)
    salt = hashlib.sha256(markup.encode()).hexdigest()[:10]
    # Nothing refers to images, and two that are alike would have the same name.
    markup = re.sub(r'(<image\b[^>]*?)\sid="[^"]*"', r"\1", markup)
    markup = re.sub(r'(\sid="|href="#|url\(#)([^")]+)', rf"\1\2-{salt}", markup)
    return markup.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt, quote=True)}"', 1)


def as_pixels(axes: Any, n_points: int) -> float:
    """Return the zorder at which so many points are to be drawn: behind all else, as one picture, if they are many."""
    many = n_points > MANY_POINTS
    axes.set_rasterization_zorder(0 if many else None)
    return -1.0 if many else 2.0


def as_png(figure: Canvas, alt: str, dots: int = 110) -> str:
    """Return a figure as an `img` element: for what would be too many lines as a drawing."""
    from PIL import Image

    drawn, data = io.BytesIO(), io.BytesIO()
    with style():
        figure.savefig(drawn, format="png", dpi=dots, metadata={"Software": None})
    # A third of the bytes, and nobody sees it.
    picture = Image.open(drawn).convert("RGB").quantize(N_SHADES, dither=Image.Dither.NONE)
    picture.save(data, format="PNG", optimize=True)
    return embed_png(data.getvalue(), alt)


def embed_png(data: bytes, alt: str) -> str:
    """Return PNG data as an `img` element."""
    return f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}" alt="{html.escape(alt, quote=True)}">'


def marks_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give each name its colour and marker, in order; beyond eight they repeat in other pairs."""
    return {
        name: (COLOURS[k % len(COLOURS)], MARKERS[(k + k // len(COLOURS)) % len(MARKERS)])
        for k, name in enumerate(names)
    }


def log_axis(axis: Any, values: npt.ArrayLike, n_most: int = MANY_TICKS) -> None:
    """Make an axis logarithmic over what there is, with few round ticks: matplotlib's own take longer than the rest."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known) & (known > 0)]
    low, high = (known.min() / 1.15, known.max() * 1.15) if len(known) else (1.0, 10.0)
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in STEPS:
        ticks = np.outer(decades, steps).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) <= n_most:
            break
    ticks = ticks[:: max(1, -(-len(ticks) // n_most))]
    {"x": axis.axes.set_xscale, "y": axis.axes.set_yscale}[axis.axis_name]("log")
    axis.set_major_locator(FixedLocator(ticks.tolist()))
    axis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
    axis.set_minor_locator(NullLocator())
    {"x": axis.axes.set_xlim, "y": axis.axes.set_ylim}[axis.axis_name](low, high)


def put_legend(axes: Any, title: str) -> None:
    """Put the legend beside the axes, where it hides nothing."""
    axes.legend(title=title or None, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
