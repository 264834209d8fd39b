"""How everything here looks: one palette keyed by cause, one type size, little ink.

The colours of the causes are Okabe and Ito's, which people with any colour vision can tell
apart. Pictures are drawn in a handful of named colours and nothing else, so that the
report can put CSS variables in their place and follow the reader's dark or light theme.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Annotation
from PIL import Image

from storage import events

__all__ = ["CAUSES", "COLOURS", "DARK", "PARTS", "Picture", "bare", "picture", "rgb", "styled", "variable"]

CAUSES: Final = events.CAUSES[1:]
"""Why bytes were fetched, as in `storage.events`, without ``none``."""
PARTS: Final = ("rtt", "bandwidth", "waiting", "decode", "think")

COLOURS: Final = {
    "demand": "#0072b2",
    "amplify": "#e69f00",
    "gap": "#8d99a6",
    "refetch": "#d55e00",
    "prefetch": "#009e73",
    "meta": "#cc79a7",
    "hit": "#56b4e9",
    "cached": "#8a97a5",
    "first byte": "#aab4be",
    "ink": "#1c2127",
    "muted": "#69737e",
    "rule": "#d9dee3",
    "wash": "#eef1f4",
    "paper": "#ffffff",
    "rtt": "#34516b",
    "bandwidth": "#0072b3",
    "waiting": "#d55e01",
    "decode": "#b48ead",
    "think": "#c3cad1",
    "run1": "#1c2128",
    "run2": "#a23b72",
    "run3": "#3d8168",
    "run4": "#b07d2b",
}
"""Named colours on a light page. No two are equal: the report finds them by value."""

DARK: Final = COLOURS | {
    "demand": "#4aa8e0",
    "amplify": "#f0b429",
    "gap": "#7c8894",
    "refetch": "#f0803c",
    "prefetch": "#2fbf93",
    "meta": "#dd9bc0",
    "hit": "#8ccbf2",
    "cached": "#8b98a6",
    "first byte": "#7b8896",
    "ink": "#e6eaee",
    "muted": "#98a3ae",
    "rule": "#333b44",
    "wash": "#20262d",
    "paper": "#14181d",
    "rtt": "#86a5c2",
    "bandwidth": "#4aa8e1",
    "waiting": "#f0803d",
    "decode": "#c6a2c0",
    "think": "#4c5661",
    "run1": "#e6eaef",
    "run2": "#e08ab8",
    "run3": "#7cc4a8",
    "run4": "#dcb066",
}
"""The same names on a dark page."""

_FAMILIES = ("Inter", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans")
_WEB_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

P = ParamSpec("P")
R = TypeVar("R")


class Picture(Figure):
    """A matplotlib figure that shows itself in notebooks without pyplot, and gives inline SVG."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        width, height = self.get_size_inches()
        return self.png(), {"width": round(width * 90), "height": round(height * 90)}

    def png(self, dpi: int = 160) -> bytes:
        """The picture as PNG, of 256 colours, which is plenty and a third of the size."""
        drawn, small = io.BytesIO(), io.BytesIO()
        with mpl.rc_context(_rc()):
            self.savefig(drawn, format="png", dpi=dpi)
        Image.open(drawn).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
        return small.getvalue()

    def svg(self, prefix: str) -> str:
        """The picture as an ``<svg>`` element whose colours are CSS variables (``--ink``, ``--demand``, ...).

        Parameters
        ----------
        prefix
            Goes before every id, so that several pictures can share one page.
        """
        out = io.StringIO()
        with mpl.rc_context(_rc() | {"svg.fonttype": "none", "svg.hashsalt": prefix}):
            self.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        text = out.getvalue()
        return _themed(text[text.index("<svg") :], prefix)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under the house style, leaving the caller's settings alone."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(_rc()):
            return draw(*args, **kwargs)

    return inner


def picture(width: float, height: float, wspace: float = 0.02) -> Picture:
    """An empty picture, in inches."""
    return Picture(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=wspace))


def bare(ax: Axes, title: str, key: Sequence[str] = (), lift: float = 0.0) -> None:
    """Take the box away; set a title and, below it, words in the colours they name.

    `lift` leaves that many points between them and the axes.
    """
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_title(title, loc="left", fontweight="bold", pad=lift + (20 if key else 8))
    before: Axes | Annotation = ax
    for i, word in enumerate(key):
        place = ((0, 1), "axes fraction", (0, lift + 5)) if i == 0 else ((1, 0), before, (8, 0))
        before = ax.annotate(
            word, place[0], place[2], xycoords=place[1], textcoords="offset points", color=COLOURS[word],
            fontsize=8.5, fontweight="bold", va="bottom",
        )  # fmt: skip


def rgb(name: str) -> tuple[float, float, float]:
    """A named colour as three numbers from 0 to 1."""
    return to_rgb(COLOURS[name])


def variable(name: str) -> str:
    """A named colour's CSS variable, without the dashes before it."""
    return name.replace(" ", "-")


def _themed(svg: str, prefix: str) -> str:
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable(name)})")
    svg = re.sub(r"font: (\d+ )?([\d.]+px) [^;\"]*", rf"font: \1\2 {_WEB_FONT}".replace("\\1", r"\g<1>"), svg)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', svg)
    return re.sub(
        r'(<svg [^>]*?)width="[^"]*" ?', r"\1", re.sub(r'(<svg [^>]*?)height="[^"]*" ?', r"\1", svg, count=1), count=1
    )


@cache
def _rc() -> Any:
    known = {font.name for font in font_manager.fontManager.ttflist}
    ink, muted = COLOURS["ink"], COLOURS["muted"]
    return {
        "font.family": [name for name in _FAMILIES if name in known],
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.labelsize": 8.5,
        "axes.labelcolor": muted,
        "axes.edgecolor": COLOURS["rule"],
        "axes.facecolor": "none",
        "axes.grid": False,
        "grid.color": COLOURS["rule"],
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "text.color": ink,
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "figure.facecolor": COLOURS["paper"],
        "savefig.facecolor": COLOURS["paper"],
        "figure.constrained_layout.h_pad": 0.06,
        "figure.constrained_layout.w_pad": 0.06,
    }
