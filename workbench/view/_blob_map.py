"""An image as a map of its blob: bytes from left to right and from top to bottom, like text."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from workbench.layout import TOP, Tables, owners
from workbench.view._style import Picture, bare, picture, styled
from workbench.view._words import count, percent, size

__all__ = ["BlobMap", "blob_map", "lay_out"]

I64 = npt.NDArray[np.int64]

_TINTS: Final = ("#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33", "#aaaa00")
"""Paul Tol's light scheme: safe for any colour vision, pale enough to write on."""
_OTHER: Final = "#d0d5da"
_ON_TINT: Final = "#14181d"


class BlobMap(NamedTuple):
    """A blob cut into lines of equal length.

    Attributes
    ----------
    chunk : (lines, columns) int64
        Row in `Chunks` of the chunk in each cell; -1 where there is none.
    edge : (lines, columns) bool
        Whether a chunk begins in the cell.
    line_bytes
        Compressed bytes in a line.
    """

    chunk: I64
    edge: npt.NDArray[np.bool_]
    line_bytes: int


def lay_out(image: Tables, lines: int, columns: int) -> BlobMap:
    """Which chunk lies in which cell; blobs follow one another."""
    chunks = image.chunks
    base = np.concatenate([[0], np.cumsum(image.blobs.compressed_size)[:-1]]).astype(np.int64)
    start = chunks.compressed_offset + base[chunks.blob]
    end = start + chunks.compressed_size
    total = int(end.max(initial=1))
    line_bytes = -(-total // lines)
    at = np.arange(lines)[:, None] * line_bytes + (np.arange(columns) * line_bytes // columns)[None, :]
    order = np.argsort(start, kind="stable")
    found = (
        order[np.maximum(np.searchsorted(start[order], at, side="right") - 1, 0)] if len(order) else np.zeros_like(at)
    )
    held = (at < total) & (at >= start[found]) & (at < end[found]) if len(order) else np.zeros(at.shape, bool)
    chunk = np.where(held, found, -1)
    flat = chunk.ravel()
    edge = np.concatenate([[True], flat[1:] != flat[:-1]]).reshape(chunk.shape)
    return BlobMap(chunk, edge, line_bytes)


@styled
def blob_map(
    image: Tables, *, touched: npt.NDArray[np.bool_] | None = None, width: float = 9.0, height: float = 4.2
) -> Picture:
    """Draw where everything lies, coloured by directory; a thin gap wherever a chunk begins.

    Parameters
    ----------
    image
        An image, or what has its tables.
    touched : (n,) bool
        By chunk, whether it was read: the others are drawn pale.
    width, height
        In inches.
    """
    lines = int(height * 7)
    laid = lay_out(image, lines, int(width * 150))
    owner = owners(image)
    stored = owner.to_frame().assign(size=image.chunks.stored_size).groupby("directory")["size"].sum()
    largest = list(stored.sort_values(ascending=False).index[: len(_TINTS)])
    tints = np.array([to_rgb(tint) for tint in [*_TINTS[: len(largest)], _OTHER]])
    which = owner.map({name: i for i, name in enumerate(largest)}).fillna(len(largest)).to_numpy(np.int64)
    figure = picture(width, height)
    ax = figure.add_subplot()
    bare(ax, _title(image, touched))
    ax.imshow(_painted(laid, tints[which], touched), aspect="auto", interpolation="none", extent=(0, 1, lines, 0))
    _name(ax, laid, which, largest, width)
    ax.set_xticks([])
    ticks = np.linspace(0, lines, 5)[:-1]
    ax.set_yticks(ticks + 0.5, [size(int(tick) * laid.line_bytes) for tick in ticks])
    ax.set_xlabel(f"one line is {size(laid.line_bytes)} of the blob, as stored")
    return figure


def _title(image: Tables, touched: npt.NDArray[np.bool_] | None) -> str:
    total = int(image.chunks.stored_size.sum())
    text = f"The blob: {size(total)} in {count(len(image.chunks))} chunks"
    if touched is None:
        return text
    return f"{text}, {percent(int(image.chunks.stored_size[touched].sum()), total)} of it read"


def _painted(
    laid: BlobMap, tint: npt.NDArray[np.float64], touched: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.float64]:
    """(2 * lines, columns, 4) colours: each line, and a thinner gap below it."""
    # Paled towards white, not see-through: the names on it are dark on any page.
    strength = np.ones(len(tint)) if touched is None else np.where(touched, 1.0, 0.28)
    dark = (strength[:, None] * (1 - tint))[laid.chunk] * np.where(laid.edge, 0.25, 1.0)[..., None]
    colours = np.concatenate([1 - dark, (laid.chunk >= 0)[..., None]], axis=-1)
    lines = np.repeat(colours, 8, axis=0)
    lines[7::8] = 0
    return lines


def _name(ax: Axes, laid: BlobMap, which: I64, names: list[str], width: float) -> None:
    """Write each large directory's name on its longest stretch."""
    columns = laid.chunk.shape[1]
    kind = np.where(laid.chunk >= 0, which[laid.chunk], -1).ravel()
    cuts = np.flatnonzero(np.diff(kind, prepend=-2, append=-2))
    for i, name in enumerate(names):
        runs = np.flatnonzero(kind[cuts[:-1]] == i)
        if not len(runs):
            continue
        best = runs[np.argmax(np.diff(cuts)[runs])]
        first, last = int(cuts[best]), int(cuts[best + 1])
        line, left, right = _widest(first, last, columns)
        shown = "top level" if name == TOP else name
        if (right - left) / columns * width > 0.09 * len(shown):
            x = (left + right) / 2 / columns
            ax.text(x, line + 0.46, shown, ha="center", va="center", fontsize=7.5, color=_ON_TINT)


def _widest(first: int, last: int, columns: int) -> tuple[int, int, int]:
    """The middle one of the widest lines of a stretch, and the stretch's ends on it."""
    lines = range(first // columns, (last - 1) // columns + 1)
    ends = [(max(first - n * columns, 0), min(last - n * columns, columns)) for n in lines]
    width = max(right - left for left, right in ends)
    wide = [i for i, (left, right) in enumerate(ends) if right - left == width]
    middle = wide[len(wide) // 2]
    return lines[middle], *ends[middle]
