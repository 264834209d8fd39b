"""The verb for bounds: what no policy can beat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from storage.backend import Link
from workbench.cli._figures import figures
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option
from workbench.cli._settings import clients_option, link_option, loop_option
from workbench.cli._types import CACHE_SIZE, Share, bytes_of
from workbench.cli._workload import laid, on_machines, with_cpu
from workbench.replay import Settings
from workbench.replay import lower_bound as least_time
from workbench.simulate import lower_bound as fewest_misses
from workbench.trace.formats import FORMATS, object_trace

__all__: list[str] = []


@group.command(
    "bound",
    **example(
        "workbench bound trace/reads.parquet --image image --link rtt=5ms,bw=200Mbit",
        "workbench bound trace/reads.parquet --image image --clients 8 --json",
        "workbench bound requests.oracleGeneral.zst --cache-size 10%",
    ),
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="The image of a recorded workload.")
@click.option("--cache-size", type=CACHE_SIZE, help="Of a cache for a trace of objects: 256MiB, or 10% of them all.")
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="Of such a trace; by default as it is named.")
@clients_option
@loop_option
@click.option("--any-image", is_flag=True, help="Take a trace that was recorded on another image of the same files.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@link_option
@blobs_option
def bound_command(
    trace: Path,
    image: Path | None,
    cache_size: int | Share | None,
    kind: str | None,
    clients: int,
    loop: str,
    any_image: bool,
    as_json: bool,
    link: Link,
    blobs: Blobs,
) -> None:
    """Say what no policy can beat: the least time to the last read, or the fewest misses.

    With --image it is the time that any prefetch and any cache needs, of whatever size; with --cache-size the misses
    and the bytes missed that any cache of that size has of a trace of objects, even one that knows the trace.
    """
    if (image is None) == (cache_size is None):
        raise click.UsageError("a workload needs its --image, a trace of objects a --cache-size: say one of them")
    if image is not None:
        said = _of_time(trace, image, blobs, any_image, clients, Settings(link=link, loop=loop))
    else:
        assert cache_size is not None
        said = _of_misses(trace, kind, cache_size)
    if as_json:
        print(json.dumps(said))
    else:
        Console().print(figures({name: value for name, value in said.items() if not isinstance(value, list)}))


def _of_time(
    trace: Path, image: Path, blobs: Blobs, any_image: bool, clients: int, settings: Settings
) -> dict[str, Any]:
    _, _, workload = laid(trace, image, blobs, any_image)
    workload = on_machines(workload, clients)
    by_program = least_time(workload, with_cpu(settings, trace))
    return {"least_time_to_last_read_ns": int(by_program.sum()), "by_program_ns": by_program.tolist()}


def _of_misses(trace: Path, kind: str | None, cache_size: int | Share) -> dict[str, Any]:
    requests = object_trace(trace, kind)
    size = bytes_of(cache_size, int(requests.sizes.sum()))
    bound = fewest_misses(requests, size)
    return {
        "cache_size": size,
        "fewest_misses": bound.misses,
        "fewest_miss_bytes": bound.miss_bytes,
        "least_miss_ratio": bound.misses / len(requests) if len(requests) else 0.0,
        "least_byte_miss_ratio": bound.miss_bytes / requests.bytes if requests.bytes else 0.0,
        "reached_by_some_cache": bound.optimal,
    }
