"""Verbs that run something: record, replay, demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.table import Table

from storage.backend import Link
from workbench import view
from workbench.cli._blobs import Configured
from workbench.cli._figures import column_table, figures
from workbench.cli._link import LINK
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option
from workbench.cli._settings import (
    amplify_option,
    clients_option,
    guarded,
    link_option,
    prefetch_option,
    replay_options,
    settings_options,
    watermarks_of,
)
from workbench.cli._types import Share, bytes_of
from workbench.cli._workload import laid, on_machines, with_cpu
from workbench.demo import demo
from workbench.replay import Result, Settings, replay
from workbench.simulate import simulate
from workbench.trace import PROGRAMS, record, write_table
from workbench.trace.formats import FORMATS, object_trace
from workbench.view._words import duration

__all__: list[str] = []


@group.command(
    "record",
    **example(
        "workbench record --image image --cache cache -o trace",
        "workbench record --image image --cache cache -o trace my_program.py --amplify 4MiB",
        "workbench record --image image --cache cache -o trace --prefetch markov --amplify adaptive",
    ),
)
@click.argument("programs", metavar="[PROGRAM.py]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--image", required=True, type=click.Path(path_type=Path), help="An image of a standard library.")
@click.option("--cache", "cache_dir", required=True, type=click.Path(path_type=Path), help="Cache folder.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for reads and events.")
@click.option("--perfetto", is_flag=True, help="Write trace.perfetto.json, too.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@settings_options
@amplify_option
@prefetch_option
@link_option
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
    amplify: int | str,
    prefetch: str,
    plan: str,
    link: Link,
) -> None:
    """Run Python programs on an image and write down what they read.

    Without a program: a web client, a test runner and a database script, one after the other.
    """
    if isinstance(cache_size, Share):
        raise click.UsageError("a recording's cache size is in bytes: there is no trace yet to take a share of")
    eviction = guarded(eviction, admission, cache_size)
    if isinstance(blobs, Configured):
        blobs.warn_of_sections({"cache": "--cache and --cache-size", "rafs": "--amplify and --plan"})
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
        prefetch=prefetch,
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
        "workbench replay trace/reads.parquet --image image --eviction sieve --cache-size 50% --high 90% --low 60%",
        "workbench replay trace/reads.parquet --image image --prefetch markov --amplify adaptive --clients 8",
        "workbench replay requests.oracleGeneral.zst --eviction s3-fifo --cache-size 256MiB --untimed --json",
        "workbench replay requests.csv --eviction lru --admission tinylfu --cache-size 10% --untimed",
    ),
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="The image, or another layout of it.")
@click.option("--untimed", is_flag=True, help="Count hits and misses of a trace of objects, without an image.")
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="Of such a trace; by default as it is named.")
@clients_option
@click.option("--any-image", is_flag=True, help="Take a trace that was recorded on another image of the same files.")
@click.option("--json", "as_json", is_flag=True, help="Totals and the split of time as JSON.")
@settings_options
@replay_options
@link_option
@blobs_option
def replay_command(
    trace: Path,
    image: Path | None,
    untimed: bool,
    kind: str | None,
    blobs: Blobs,
    clients: int,
    any_image: bool,
    as_json: bool,
    eviction: str,
    admission: str,
    cache_size: int | Share | None,
    low: int | Share | None,
    high: int | Share | None,
    amplify: int | str,
    **circumstances: Any,
) -> None:
    """Replay a recorded workload on a virtual clock: what would it have cost under ...?

    The CPU's costs are fitted to events.parquet beside the trace, if it is there.
    """
    eviction = guarded(eviction, admission, cache_size, untimed)
    if (low, high) != (None, None) and (untimed or cache_size is None):
        raise click.UsageError("--low and --high need --eviction and --cache-size, and have no meaning --untimed")
    if untimed:
        _untimed(trace, kind, eviction, cache_size, as_json)
        return
    if image is None:
        raise click.UsageError("a workload needs its --image; a trace of whole objects needs --untimed")
    reads, opened, workload = laid(trace, image, blobs, any_image)
    capacity = None if cache_size is None else bytes_of(cache_size, workload.touched_bytes)
    marks = watermarks_of(low, high, capacity)
    settings = Settings(amplify_io=amplify, capacity=capacity, eviction=eviction, watermarks=marks, **circumstances)
    workload = on_machines(workload, clients)
    # Who summarises events counts each of them, in the order in which one client had them.
    summarised = clients == 1 and settings.loop == "closed" and settings.warm_up == 0
    result = replay(workload, opened, with_cpu(settings, trace), record=summarised and not as_json)
    if as_json:
        print(json.dumps({**result.totals, "split_ns": result.split, "above_bound": result.above_bound}))
        return
    if not summarised:
        totals = {key: value for key, value in result.totals.items() if not isinstance(value, dict)}
        Console().print(figures(totals))
        if clients > 1:
            Console().print(Group("", _clients(result)))
    else:
        Console().print(view.summarize(result.events(), reads, "predicted"))
    print(f"\nat most {100 * result.above_bound:.0f} % above what any prefetch could reach")


def _untimed(trace: Path, kind: str | None, eviction: str, cache_size: int | Share | None, as_json: bool) -> None:
    requests = object_trace(trace, kind)
    everything = int(requests.sizes.sum())
    size = everything if cache_size is None else bytes_of(cache_size, everything)
    outcome = simulate(requests, eviction, size)
    if as_json:
        print(json.dumps(outcome.to_dict()))
    else:
        Console().print(figures(outcome.to_dict()))


def _clients(result: Result) -> Table:
    table = column_table(("client", "starts at", "time to last read"), first="right")
    for client, starts, spent in result.clients.to_numpy().tolist():
        table.add_row(str(client), duration(starts), duration(spent))
    return table


@group.command("demo", **example("workbench demo", "workbench demo --out /tmp/demo --perfetto"))
@click.option("--out", type=click.Path(path_type=Path), default="demo", show_default=True, help="Folder for all of it.")
@click.option("--link", type=LINK, default="rtt=20ms,bw=200Mbit", show_default=True)
@click.option("--perfetto", is_flag=True, help="Write trace.perfetto.json, too.")
def demo_command(out: Path, link: Link, perfetto: bool) -> None:
    """Build an image, run three programs on it, replay them, and report: in under a minute."""
    demo(out, link, perfetto=perfetto)
