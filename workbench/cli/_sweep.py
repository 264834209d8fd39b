"""The verb that replays many combinations: sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from storage.image import open_image
from workbench import policy
from workbench._quantity import parse_size
from workbench.cli._link import parse_link
from workbench.cli._main import example, group
from workbench.policy import amplify as policies
from workbench.replay import PREFETCH, sweep
from workbench.trace import check_image, read_reads

__all__: list[str] = []

_SHOWN = ["trace", "image", "eviction", "capacity", "amplify_io", "prefetch", "link", "time_to_last_read_ms"]
_SHOWN += ["above_bound", "requests", "bytes_received", "hit_ratio"]


@group.command(
    "sweep",
    **example(
        "workbench sweep trace/reads.parquet --image image -o found",
        "workbench sweep trace/reads.parquet --image image -o found --eviction lru,sieve --cache-size 25%,50%",
        "workbench sweep trace/reads.parquet --image image -o found --prefetch 'none,whole blob' --link lan --link wan",
    ),
)
@click.argument("traces", metavar="TRACE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--image", "images", required=True, multiple=True, type=click.Path(path_type=Path), help="A layout.")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of results; resumed if there."
)
@click.option("--eviction", default="none", show_default=True, help="Names, with commas between.")
@click.option("--cache-size", default="", help="Sizes: 256MiB, or 50% of what a trace touches.")
@click.option("--amplify", default="1MiB", show_default=True, help="Sizes, or names of policies.")
@click.option("--prefetch", "prefetches", default="none", show_default=True, help=f"Names: {', '.join(PREFETCH)}.")
@click.option("--link", "links", multiple=True, default=("registry-20ms",), show_default=True, help="A link; again.")
@click.option("--workers", type=int, help="Processes; by default one for each core.")
@click.option("--dask", help="Address of a Dask scheduler to use instead.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each cell.")
@click.option("--any-image", is_flag=True, help="Take traces that were recorded on another image of the same files.")
def sweep_command(
    traces: tuple[Path, ...],
    images: tuple[Path, ...],
    out: Path,
    eviction: str,
    cache_size: str,
    amplify: str,
    prefetches: str,
    links: tuple[str, ...],
    workers: int | None,
    dask: str | None,
    as_json: bool,
    any_image: bool,
) -> None:
    """Replay every combination of what is given, and rank them.

    A sweep that was stopped goes on where it was.
    """
    _known("--eviction", eviction, policy.names())
    _known("--prefetch", prefetches, PREFETCH)
    known = policies.names()
    sizes: dict[str, Any] = {word: _capacity(word) for word in _words(cache_size)}
    grid: dict[str, Any] = {
        "eviction": _words(eviction),
        "capacity": sizes or {"none": None},
        "amplify_io": {word: word if word.split("=")[0] in known else parse_size(word) for word in _words(amplify)},
        "prefetch": _words(prefetches),
        "link": {text: parse_link(text) for text in links},
    }
    reads = {path.parent.name if path.name == "reads.parquet" else path.stem: read_reads(path) for path in traces}
    if not any_image:
        for name, table in reads.items():
            check_image(table, open_image(images[0]).bootstrap_digest, name)
    found = sweep(grid, reads, {path.name: path for path in images}, out, client=_client(dask), workers=workers)
    frame = found.frame()
    if as_json:
        print(frame.to_json(orient="records", lines=True), end="")
    else:
        click.echo(frame[_SHOWN].to_string(index=False))
    for failed in found.failed.to_dict("records"):
        click.echo(f"workbench: failed: {failed}", err=True)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _known(option: str, text: str, names: tuple[str, ...]) -> None:
    for word in _words(text):
        if word not in names:
            raise click.UsageError(f"{option}: no {word!r}; there are {', '.join(names)}")


def _capacity(word: str) -> int | float:
    return float(word[:-1]) / 100 if word.endswith("%") else parse_size(word)


def _client(address: str | None) -> object:
    if address is None:
        return None
    from distributed import Client

    return Client(address)  # type: ignore[no-untyped-call]
