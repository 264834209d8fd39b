"""Verbs that run something: record, replay, demo."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from storage.backend import Link
from storage.image import open_image
from workbench import policy, view
from workbench.cli._blobs import Configured
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option
from workbench.cli._types import CACHE_SIZE, LINK, SIZE, Share
from workbench.demo import demo
from workbench.policy import amplify
from workbench.replay import LOOPS, PREFETCH, Settings, Workload, calibrate, fleet, replay
from workbench.simulate import simulate
from workbench.trace import PROGRAMS, check_image, read_reads, record, write_table
from workbench.trace.formats import FORMATS, object_trace

__all__: list[str] = []

_ADMISSIONS = "all, tinylfu, size=128KiB (up to that) or probabilistic=0.5."


def _options(command: Any) -> Any:
    """What record and replay have in common."""
    for option in reversed(
        (
            click.option("--eviction", type=click.Choice(policy.names()), default="none", show_default=True),
            click.option("--admission", default="all", show_default=True, help=_ADMISSIONS),
            click.option("--cache-size", type=CACHE_SIZE, help="256MiB, or 50% of what the trace touches."),
            click.option("--plan", type=click.Choice(["exact", "reference"]), default="exact", show_default=True),
            click.option("--link", type=LINK, default="rtt=20ms,bw=200Mbit", show_default=True),
        )
    ):
        command = option(command)
    return command


@group.command(
    "record",
    **example(
        "workbench record --image image --cache cache -o trace",
        "workbench record --image image --cache cache -o trace my_program.py --amplify 4MiB",
    ),
)
@click.argument("programs", metavar="[PROGRAM.py]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--image", required=True, type=click.Path(path_type=Path), help="An image of a standard library.")
@click.option("--cache", "cache_dir", required=True, type=click.Path(path_type=Path), help="Cache folder.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for reads and events.")
@click.option("--perfetto", is_flag=True, help="Write trace.perfetto.json, too.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@click.option("--amplify", type=SIZE, default="1MiB", show_default=True, help="amplify_io.")
@_options
@blobs_option
def record_command(
    programs: tuple[Path, ...],
    image: Path,
    blobs: Blobs,
    cache_dir: Path,
    out: Path,
    perfetto: bool,
    as_json: bool,
    eviction: str,
    admission: str,
    cache_size: int | Share | None,
    amplify: int,
    plan: str,
    link: Link,
) -> None:
    """Run Python programs on an image and write down what they read.

    Without a program: a web client, a test runner and a database script, one after the other.
    """
    if isinstance(cache_size, Share):
        raise click.UsageError("a recording's cache size is in bytes: there is no trace yet to take a share of")
    eviction = _guarded(eviction, admission, cache_size)
    run = record(
        image,
        None if isinstance(blobs, Configured) else blobs,
        config=blobs.path if isinstance(blobs, Configured) else None,
        cache_dir=cache_dir,
        programs={path.stem: path for path in programs} or PROGRAMS,
        plan=plan,
        amplify_io=amplify,
        capacity=cache_size,
        eviction=eviction,
        link=link,
        progress=True,
    )
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "reads.parquet", run.reads)
    write_table(out / "events.parquet", run.events)
    if perfetto:
        view.write_perfetto(out / "trace.perfetto.json", view.Run("recorded", run.events, run.reads))
    summary = view.summarize(run.events, run.reads, "recorded")
    if as_json:
        print(json.dumps(summary.to_dict()))
    else:
        print(run.output, end="")
        Console().print(summary)


@group.command(
    "replay",
    **example(
        "workbench replay trace/reads.parquet --image image",
        "workbench replay trace/reads.parquet --image image --eviction lru --cache-size 50% --amplify 128KiB",
        "workbench replay trace/reads.parquet --image image --prefetch 'whole blob' --link rtt=5ms,bw=1Gbit --json",
        "workbench replay trace/reads.parquet --image image --prefetch markov --amplify adaptive --clients 8",
        "workbench replay requests.oracleGeneral.zst --eviction s3-fifo --cache-size 256MiB --untimed --json",
        "workbench replay requests.csv --eviction lru --admission tinylfu --cache-size 10% --untimed",
    ),
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="The image, or another layout of it.")
@click.option("--untimed", is_flag=True, help="Count hits and misses of a trace of objects, without an image.")
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="Of such a trace; by default as it is named.")
@click.option("--prefetch", default="none", show_default=True, help=f"{', '.join(PREFETCH)}, or paths=/a:/b.")
@click.option("--prefetch-workers", type=click.IntRange(1), default=1, show_default=True, help="How many fetch it.")
@click.option("--prefetch-bandwidth", type=SIZE, default=0, help="Bytes a second that they may ask for.")
@click.option("--amplify", default="1MiB", show_default=True, help=f"amplify_io, or {', '.join(amplify.names())}.")
@click.option("--loop", type=click.Choice(LOOPS), default="closed", show_default=True, help="open: at recorded times.")
@click.option("--warm-up", type=click.IntRange(0), default=0, help="Reads before anything counts.")
@click.option("--clients", type=click.IntRange(1), default=1, help="Machines that start it at once, over one link.")
@click.option("--any-image", is_flag=True, help="Take a trace that was recorded on another image of the same files.")
@click.option("--json", "as_json", is_flag=True, help="Totals and the split of time as JSON.")
@_options
@blobs_option
def replay_command(
    trace: Path,
    image: Path | None,
    untimed: bool,
    kind: str | None,
    blobs: Blobs,
    prefetch: str,
    prefetch_workers: int,
    prefetch_bandwidth: int,
    amplify: str,
    loop: str,
    warm_up: int,
    clients: int,
    any_image: bool,
    as_json: bool,
    eviction: str,
    admission: str,
    cache_size: int | Share | None,
    plan: str,
    link: Link,
) -> None:
    """Replay a recorded workload on a virtual clock: what would it have cost under ...?

    The CPU's costs are fitted to events.parquet beside the trace, if it is there.
    """
    eviction = _guarded(eviction, admission, cache_size, untimed)
    if untimed:
        _untimed(trace, kind, eviction, cache_size, as_json)
        return
    if image is None:
        raise click.UsageError("a workload needs its --image; a trace of whole objects needs --untimed")
    reads = read_reads(trace)
    opened = open_image(image, blobs)
    if not any_image:
        check_image(reads, opened.bootstrap_digest, trace)
    workload = Workload.from_reads(reads, opened)
    capacity = int(cache_size * workload.touched_bytes) if isinstance(cache_size, Share) else cache_size
    settings = Settings(
        plan=plan,
        amplify_io=amplify,
        capacity=capacity,
        eviction=eviction,
        prefetch=prefetch,
        prefetch_workers=prefetch_workers,
        prefetch_bandwidth=prefetch_bandwidth,
        link=link,
        loop=loop,
        warm_up=warm_up,
    )
    workload = fleet([workload] * clients) if clients > 1 else workload
    result = replay(workload, opened, _with_cpu(settings, trace), record=not as_json and clients == 1)
    if as_json:
        print(json.dumps({**result.totals, "split_ns": result.split}))
    elif clients > 1:
        Console().print(_table(result.totals | result.totals["bytes_by_cause"]))
        click.echo(result.clients.to_string(index=False))
    else:
        Console().print(view.summarize(result.events(), reads, "predicted"))


def _untimed(trace: Path, kind: str | None, eviction: str, cache_size: int | Share | None, as_json: bool) -> None:
    requests = object_trace(trace, kind)
    everything = int(requests.sizes.sum())
    size = everything if cache_size is None else cache_size
    outcome = simulate(requests, eviction, int(size * everything) if isinstance(size, Share) else size)
    if as_json:
        print(json.dumps(outcome.to_dict()))
    else:
        Console().print(_table(outcome.to_dict()))


def _table(values: dict[str, Any]) -> Table:
    table = Table(show_header=False)
    for name, value in values.items():
        if isinstance(value, dict):
            continue
        shown = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        table.add_row(name.replace("_", " "), shown)
    return table


def _with_cpu(settings: Settings, trace: Path) -> Settings:
    events = trace.with_name("events.parquet")
    return replace(settings, cpu=calibrate(pq.read_table(events))) if events.exists() else settings


def _guarded(eviction: str, admission: str, cache_size: int | Share | None, untimed: bool = False) -> str:
    """The name of both policies as one, once they can be what is wanted."""
    if policy.get(eviction).offline and not untimed:
        raise click.UsageError(f"--eviction {eviction} knows the future: it needs --untimed")
    if eviction != "none" and cache_size is None:
        raise click.UsageError(f"--eviction {eviction} needs --cache-size: 256MiB, say")
    if eviction == "none" and cache_size is not None:
        raise click.UsageError("--cache-size needs --eviction: lru, say")
    if eviction == "none" and admission != "all":
        raise click.UsageError("--admission needs --eviction: lru, say")
    both = f"{eviction}+{admission}"
    policy.get(both)
    return eviction if admission == "all" else both


@group.command("demo", **example("workbench demo", "workbench demo --out /tmp/demo --perfetto"))
@click.option("--out", type=click.Path(path_type=Path), default="demo", show_default=True, help="Folder for all of it.")
@click.option("--link", type=LINK, default="rtt=20ms,bw=200Mbit", show_default=True)
@click.option("--perfetto", is_flag=True, help="Write trace.perfetto.json, too.")
def demo_command(out: Path, link: Link, perfetto: bool) -> None:
    """Build an image, run three programs on it, replay them, and report: in under a minute."""
    demo(out, link, perfetto=perfetto)
