"""Pictures, by the data behind what is drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from matplotlib.collections import PolyCollection

from storage.events import EVENTS
from workbench.view import (
    CAUSES,
    COLOURS,
    Picture,
    Run,
    bandwidth,
    cdf,
    grid,
    heat,
    heat_map,
    latency,
    rates,
    summarize,
    waterfall,
)
from workbench.view._grid import cells
from workbench.view._heat import painted
from workbench.view._style import DARK, variable
from workbench.view._waterfall import folded, stretches


def test_heat_of_a_small_run(small: Run) -> None:
    """Chunks are on their way, then in the cache, then hit, then evicted, each in its cell."""
    data = heat(small.events, rows=4, columns=205)
    assert (data.start_ns, data.end_ns) == (10, 215)
    assert data.chunk.tolist() == [0, 1, 2]
    demand, amplify, prefetch = (data.fetched[CAUSES.index(name)] for name in ("demand", "amplify", "prefetch"))
    assert np.flatnonzero(demand[0]).tolist() == list(range(2, 63))
    assert np.flatnonzero(amplify[1]).tolist() == list(range(2, 63))
    assert np.flatnonzero(prefetch[2]).tolist() == list(range(110, 181))
    assert np.flatnonzero(data.resident[0]).tolist() == list(range(62, 190))
    assert np.flatnonzero(data.resident[1]).tolist() == list(range(62, 205))
    assert np.argwhere(data.hits).tolist() == [[1, 131]]
    assert data.fetched.sum() == 61 + 61 + 71


def test_chunks_that_nothing_happened_to_are_left_out(
    events_of: Callable[[list[dict[str, object]]], pa.Table], hand_made: Any
) -> None:
    """Rows are the chunks of the run; the axis names them by their row in the image's table."""
    rows: list[dict[str, object]] = [
        {"kind": "read", "t_ns": 0, "dur_ns": 9},
        {"kind": "hit", "t_ns": 1, "chunk": 3, "chunks": 1},
        {"kind": "hit", "t_ns": 2, "chunk": 1, "chunks": 1},
    ]
    data = heat(events_of(rows), columns=9)
    assert data.chunk.tolist() == [1, 3]
    assert np.argwhere(data.hits).tolist() == [[0, 2], [1, 1]]
    ax = heat_map(Run("two", events_of(rows)), hand_made).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "3"]
    assert ax.get_ylabel() == "2 of 5 chunks, in the order of the blob"


def test_heat_bins_many_chunks(make: Callable[..., Run]) -> None:
    """With fewer rows than chunks no hit is lost, and residency stays a share."""
    run = make(chunks=300)
    data = heat(run.events, rows=40, columns=60)
    hits = run.events.filter(pc.equal(run.events["kind"], "hit"))
    assert data.hits.shape == (40, 60)
    assert data.hits.sum() == len(hits)
    assert data.resident.min() >= 0
    assert 0 < data.resident.max() <= 1


def test_what_found_no_room_is_not_in_the_cache(events_of: Callable[[list[dict[str, object]]], pa.Table]) -> None:
    """A dropped chunk is on its way, but never resident; a read of no bytes hits no chunk."""
    rows: list[dict[str, object]] = [
        {"kind": "request", "t_ns": 0, "dur_ns": 10, "fetch_id": 0, "length": 2},
        {"kind": "fetch", "fetch_id": 0, "chunk": 0, "length": 1, "cause": "demand", "outcome": "dropped"},
        {"kind": "fetch", "fetch_id": 0, "chunk": 1, "length": 1, "cause": "amplify"},
        {"kind": "hit", "t_ns": 20, "chunk": -1},
        {"kind": "read", "t_ns": 0, "dur_ns": 40},
    ]
    data = heat(events_of(rows), rows=2, columns=4)
    assert data.fetched.any(axis=(0, 2)).tolist() == [True, True]
    assert data.resident.tolist() == [[0, 0, 0, 0], [0, 1, 1, 1]]
    assert data.hits.sum() == 0


def test_what_was_wanted_is_painted_over_what_came_along(small: Run) -> None:
    """Where several causes share a cell, demand is what shows; where nothing happened, nothing."""
    data = heat(small.events, rows=1, columns=205)
    image = painted(data)
    assert mpl.colors.to_hex(image[0, 10]) == COLOURS["demand"]
    assert image[0, 0, 3] == 0


def test_heat_map_names_causes_and_programs(small: Run) -> None:
    """The words above the map are the causes that occur, in their colours; programs are named where they start."""
    figure = heat_map(small)
    words = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert [word for word in words if word in COLOURS] == ["demand", "amplify", "prefetch", "hit", "cached"]
    assert words["demand"] == COLOURS["demand"]
    assert {"A", "B"} <= set(words)


def test_latency_is_the_distribution(small: Run) -> None:
    """The curve steps up at each read's latency, and the label says the quantiles."""
    taken, reached = cdf(small)
    assert taken.tolist() == [5, 50, 100]
    assert reached.tolist() == pytest.approx([100 / 3, 200 / 3, 100])
    ax = latency([small, small._replace(name="other")]).axes[0]
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.texts] == ["small: p50 50 ns, p99 100 ns", "other: p50 50 ns, p99 100 ns"]
    assert ax.lines[0].get_color() != ax.lines[2].get_color()


def test_bandwidth_carries_every_byte(make: Callable[..., Run]) -> None:
    """Rate by time sums to the bytes received, for each cause."""
    run = make()
    edges, rate = rates(run.events, bins=77)
    found = summarize(run.events, run.reads)
    carried = rate @ np.diff(edges)
    assert dict(zip(CAUSES, carried.round().astype(int).tolist(), strict=True)) == found.received


def test_bandwidth_stacks_by_cause(small: Run) -> None:
    """What is drawn is stacked: the top of the last cause is the whole."""
    figure = bandwidth(small, limit=2e9)
    rate = rates(small.events, bins=180)[1]
    top = figure.axes[0].patches[-1].get_data().values  # type: ignore[attr-defined]
    assert top == pytest.approx(8 * rate.sum(axis=0) / 1e6)
    assert figure.axes[0].get_ylabel() == "Mbit/s"


def test_requests_are_cut_by_cause(small: Run) -> None:
    """First the wait for the first byte, then the bytes of each cause in proportion."""
    spans, request, cause = stretches(small.events)
    found = sorted(zip((1e9 * spans).round(3).tolist(), request.tolist(), cause.tolist(), strict=True))
    demand, amplify, prefetch = (CAUSES.index(name) for name in ("demand", "amplify", "prefetch"))
    assert found == [
        ([2, 42], 0, -1),
        ([42, 55.333], 0, demand),
        ([55.333, 62], 0, amplify),
        ([110, 150], 1, -1),
        ([150, 180], 1, prefetch),
    ]


def test_folding_keeps_all_time() -> None:
    """A stretch over the ends of lines is cut there, and nothing of it is lost."""
    spans = np.array([[0.1, 0.4], [0.9, 3.2], [2.0, 3.0]])
    which, line, sides = folded(spans, 1.0)
    assert list(zip(which.tolist(), line.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (2, 2)]
    assert np.bincount(which, np.diff(sides)[:, 0]) == pytest.approx([0.3, 2.3, 1.0])
    assert sides.min() >= 0
    assert sides.max() <= 1


def test_waterfall_draws_each_stretch(make: Callable[..., Run]) -> None:
    """There is a collection for each cause, and the boxes of all cover the time of all requests."""
    run = make()
    boxes = {c.get_label(): c for c in waterfall(run).axes[0].collections if isinstance(c, PolyCollection)}
    widths = {name: sum(path.get_extents().width for path in c.get_paths()) for name, c in boxes.items()}
    requests = run.events.filter(pc.equal(run.events["kind"], "request"))
    assert widths["first byte"] == pytest.approx(pc.sum(requests["ttfb_ns"]).as_py() / 1e9)
    assert sum(widths.values()) == pytest.approx(pc.sum(requests["dur_ns"]).as_py() / 1e9)
    assert widths["gap"] == 0


def test_grid_frames_the_fastest(frame: pd.DataFrame) -> None:
    """One panel for each eviction and prefetch; numbers in seconds; the best alone is framed."""
    assert cells(frame, "lru", "whole blob").loc[1 << 20].tolist() == pytest.approx([2.6, 2.1])
    assert cells(frame, "none", "none").shape == (2, 1)
    axes = grid(frame).axes
    assert [ax.get_title() for ax in axes[:2]] == ["none", "lru"]
    framed = [ax for ax in axes if ax.patches]
    assert len(framed) == 1
    bold = [text.get_text() for text in framed[0].texts if text.get_fontweight() == "bold"]
    assert bold == ["2.00"]


@pytest.mark.parametrize("draw", [heat_map, bandwidth, waterfall, lambda run: latency([run])])
def test_a_run_without_events_can_be_drawn(draw: Callable[[Run], Picture]) -> None:
    """Nothing happened: an empty picture, no error."""
    assert draw(Run("idle", EVENTS.empty_table())).png().startswith(b"\x89PNG")


def test_pictures_leave_the_callers_style_alone(small: Run) -> None:
    """Drawing and rendering change no setting of matplotlib's."""
    before = dict(mpl.rcParams)
    heat_map(small).png()
    assert dict(mpl.rcParams) == before


def test_svg_follows_the_page(small: Run) -> None:
    """Inline SVG has no colour of the light page left, no size of its own, and its ids are its own."""
    text = waterfall(small).svg("a")
    root = ET.fromstring(text)
    assert "width" not in root.attrib
    assert "height" not in root.attrib
    assert not [name for name, colour in COLOURS.items() if colour in text]
    assert "var(--first-byte)" in text
    assert all(node.attrib["id"].startswith("a-") for node in root.iter() if "id" in node.attrib)


def test_palettes_name_the_same_things() -> None:
    """Light and dark have the same names, no colour twice, and every cause has one."""
    assert set(COLOURS) == set(DARK)
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert set(CAUSES) <= set(COLOURS)
    assert variable("first byte") == "first-byte"


def test_notebooks_show_pictures_at_their_size(small: Run) -> None:
    """The notebook gets a sharp PNG and the size to show it at."""
    data, shown = heat_map(small, width=9, height=4)._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert shown == {"width": 810, "height": 360}


def test_events_of_any_chunking(small: Run) -> None:
    """Tables in several chunks are read like those in one."""
    parts = pa.concat_tables([small.events.slice(0, 5), small.events.slice(5)])
    assert (heat(parts).hits == heat(small.events).hits).all()
