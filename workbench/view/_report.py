"""The report: one HTML file that needs nothing else, light or dark, on a phone or on a desk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Final

import pandas as pd

from workbench.layout import Tables, directories
from workbench.view._bandwidth import bandwidth
from workbench.view._blob_map import blob_map
from workbench.view._compare import compare
from workbench.view._grid import grid as grid_picture
from workbench.view._heat import heat_map
from workbench.view._html import STYLE, comparison_html, ranking_html, summary_html, table, theme
from workbench.view._latency import latency
from workbench.view._ranking import Ranking
from workbench.view._style import COLOURS, DARK, Picture
from workbench.view._summary import summarize
from workbench.view._table import Run, reads_of, touched
from workbench.view._waterfall import waterfall
from workbench.view._words import count, size, times

__all__ = ["report", "write_report"]

_WIDE, _NARROW = 9.0, 4.3

_PAGE_STYLE: Final = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, 'Segoe UI',
  Roboto, 'Helvetica Neue', Arial, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 62rem; margin: 0 auto; padding: 3rem 1.25rem 5rem; }
h1 { font-size: clamp(1.7rem, 5vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; letter-spacing: -.01em; margin: 3.6rem 0 .3rem; }
p { max-width: 44rem; margin: .3rem 0 1.1rem; }
.lede { color: var(--muted); margin-bottom: 2rem; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0 0; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
figure svg image { image-rendering: pixelated; }
.narrow { display: none; }
@media (max-width: 640px) { .wide { display: none; } .narrow { display: block; } main { padding-top: 1.8rem; } }
details { margin-top: 3.6rem; color: var(--muted); font-size: .9rem; }
pre { overflow-x: auto; }
@media print { main { max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


def report(
    image: Tables,
    recorded: Run,
    *,
    title: str = "First light",
    lede: str = "",
    link_bandwidth: float | None = None,
    grid: pd.DataFrame | None = None,
    predicted: Run | None = None,
    measured: Run | None = None,
) -> str:
    """One self-contained HTML page about a recorded run, and what was made of it.

    Parameters
    ----------
    image
        The image that was read, or what has its tables.
    recorded
        The run.
    title, lede
        What stands at the top; by default the lede says what was run.
    link_bandwidth
        Of the link, in bytes per second, to draw beside what it carried.
    grid
        What `workbench.replay.grid` returned for the run.
    predicted, measured
        Another configuration, replayed and then run.
    """
    sections = [
        _opening(image, recorded, title, lede),
        *_the_run(image, recorded, link_bandwidth),
        *(_the_grid(grid) if grid is not None else ()),
        *(_the_check(predicted, measured) if predicted and measured else ()),
        _fine_print(recorded),
    ]
    dark = f"@media (prefers-color-scheme: dark) {{ {theme(':root', DARK)} }}"
    style = f"{theme(':root', COLOURS)}{dark}{_PAGE_STYLE}{STYLE}"
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><main class='nw'>{''.join(sections)}</main></body></html>"
    )


def write_report(
    path: Path | str,
    image: Tables,
    recorded: Run,
    *,
    title: str = "First light",
    lede: str = "",
    link_bandwidth: float | None = None,
    grid: pd.DataFrame | None = None,
    predicted: Run | None = None,
    measured: Run | None = None,
) -> Path:
    """Write `report` to a file, and return its path."""
    target = Path(path)
    made = report(
        image,
        recorded,
        title=title,
        lede=lede,
        link_bandwidth=link_bandwidth,
        grid=grid,
        predicted=predicted,
        measured=measured,
    )
    target.write_text(made, encoding="utf-8")
    return target


def _opening(image: Tables, run: Run, title: str, lede: str) -> str:
    programs = reads_of(run)[1]
    files, stored = count(len(image.inodes)), size(float(image.chunks.stored_size.sum()))
    said = lede or f"{', '.join(programs)}, read out of an image of {files} files and folders, {stored} compressed."
    return f"<h1>{escape(title)}</h1><p class='lede'>{escape(said)}</p>{summary_html(summarize(run.events, run.reads))}"


def _the_run(image: Tables, run: Run, limit: float | None) -> Iterator[str]:
    seen = touched(run.events, len(image.chunks))
    yield _section(
        "What is in the image",
        "Bytes of the blob run from left to right and from top to bottom, like text. A gap is where a chunk begins: "
        "what is smaller cannot be fetched. Strong colours were read, pale ones never.",
        lambda width: blob_map(image, touched=seen, width=width),
    )
    yield _directories(image)
    yield _section(
        "When each chunk came",
        "A row is a chunk that was fetched or read; the others are left out. It is coloured while on its way, by why "
        "it was fetched: a read wanted it, or it lay beside what a read wanted. From then on it is in the cache, and "
        "each dot is a read that was served from there.",
        lambda width: _untitled(heat_map(run, image, width=width)),
    )
    yield _section(
        "What the time went into",
        "Time runs along each line and on to the next. Grey is the round trip before the first byte; colour is data.",
        lambda width: _untitled(waterfall(run, width=width)),
    )
    yield _section(
        "What the link carried",
        "Megabits per second, by the reason for which they were fetched.",
        lambda width: _untitled(bandwidth(run, limit=limit, width=width)),
    )
    yield _section(
        "How long a read takes",
        "Most reads are served by the cache in microseconds; the others cross the link. Time is on a logarithmic axis.",
        lambda width: _untitled(latency([run], width=width)),
    )


def _the_grid(frame: pd.DataFrame) -> Iterator[str]:
    yield _section(
        "What it would cost otherwise",
        "The same reads replayed on a virtual clock, under every combination of eviction, cache size, amplification "
        "and prefetch. The framed cell is the fastest.",
        lambda width: grid_picture(frame, width=width),
    )
    yield ranking_html(Ranking(frame))


def _the_check(predicted: Run, measured: Run) -> Iterator[str]:
    summaries = {run.name: summarize(run.events, run.reads, run.name) for run in (predicted, measured)}
    yield _section(
        f"{predicted.name.capitalize()} beside {measured.name}",
        "A configuration that had not been recorded: first replayed, then run.",
        lambda width: _untitled(latency([predicted, measured], width=width)),
    )
    yield comparison_html(compare(summaries))


def _untitled(picture: Picture) -> Picture:
    """The same picture below a heading that says what its title said."""
    picture.axes[0].set_title("", loc="left")
    return picture


def _directories(image: Tables) -> str:
    frame = directories(image).head(8)
    heads = [("directory", "l"), ("files", ""), ("bytes", ""), ("chunks", ""), ("stored", ""), ("ratio", "")]
    body = (
        [
            escape("top level" if name == "." else str(name)),
            count(row["files"]),
            size(row["bytes"]),
            count(row["chunks"]),
            size(row["stored"]),
            times(row["ratio"]),
        ]
        for name, row in zip(frame.index, frame.to_dict("records"), strict=True)
    )
    return table(heads, body)


def _fine_print(run: Run) -> str:
    known = {key.decode(): value.decode() for key, value in (run.events.schema.metadata or {}).items()}
    if "nydus.config" in known:
        known["nydus.config"] = json.loads(known["nydus.config"])
    text = escape(json.dumps(known, indent=2, ensure_ascii=False))
    return f"<details><summary>How it was run</summary><pre>{text}</pre></details>" if known else ""


def _section(title: str, text: str, draw: Callable[[float], Picture]) -> str:
    """A heading, how to read the picture, and the picture twice: for a desk and for a phone."""
    name = title.lower().replace(" ", "-")
    pictures = "".join(
        f"<div class='{kind}'>{draw(width).svg(f'{name}-{kind}')}</div>"
        for kind, width in (("wide", _WIDE), ("narrow", _NARROW))
    )
    label = escape(title)
    return f"<h2>{label}</h2><p>{escape(text)}</p><figure role='img' aria-label='{label}'>{pictures}</figure>"
