"""The map of the blob."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.view import blob_map
from workbench.view._blob_map import lay_out


def test_cells_are_bytes(hand_made: Any) -> None:
    """Blobs follow one another, and a cell shows the chunk whose bytes it begins with."""
    laid = lay_out(hand_made, lines=5, columns=15)
    assert laid.line_bytes == 750
    cell = laid.line_bytes // 15
    expected = np.repeat([0, 1, 2, 3, 4], np.array([400, 200, 100, 3000, 50]) // cell)
    assert laid.chunk.ravel().tolist() == expected.tolist()
    assert np.flatnonzero(laid.edge).tolist() == [0, 8, 12, 14, 74]


def test_the_end_of_the_blob_is_empty(hand_made: Any) -> None:
    """Cells past the last byte have no chunk."""
    laid = lay_out(hand_made, lines=4, columns=4)
    assert laid.line_bytes == 938
    assert laid.chunk[-1].tolist() == [3, 3, 3, 3]
    assert lay_out(hand_made, lines=7, columns=536).chunk[-1, -2:].tolist() == [-1, -1]


def test_what_was_read_is_strong(hand_made: Any) -> None:
    """Chunks that were never read are paler than those that were, and the title says how much was."""
    seen = np.array([True, False, False, False, False])
    figure = blob_map(hand_made, touched=seen)
    ax = figure.axes[0]
    image = np.asarray(ax.images[0].get_array())
    chunk = lay_out(hand_made, lines=29, columns=1350).chunk
    strong, pale = image[::8][chunk == 0][3], image[::8][chunk == 1][3]
    assert (pale[:3] >= strong[:3]).all()
    assert pale[:3].sum() > strong[:3].sum()
    assert ax.get_title(loc="left") == "The blob: 3.75 kB in 5 chunks, 10.7 % of it read"


def test_large_directories_are_named(hand_made: Any) -> None:
    """Names stand on the longest stretch of their directory."""
    texts = {text.get_text(): text.get_position() for text in blob_map(hand_made).axes[0].texts}
    assert set(texts) == {"app", "data"}
    assert texts["data"][1] > texts["app"][1]
