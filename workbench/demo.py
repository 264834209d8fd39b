"""The demo: one real image, read by real programs, replayed against policies, in under a minute."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console
from tqdm.auto import tqdm

from storage.backend import Link
from storage.events import audit
from storage.image import Image, open_image
from storage.image.build import build, directory_tree
from workbench import view
from workbench.replay import Result, Settings, Workload, calibrate, grid
from workbench.replay import replay as replay_workload
from workbench.trace import Recording, library_folder, record, write_table

__all__ = ["demo"]

RECORDED_AMPLIFY = 1 << 20
UNRECORDED_AMPLIFY = 256 << 10
UNRECORDED_SHARE = 0.5

_console = Console(highlight=False)


def demo(out: str | Path, link: Link | None = None, *, perfetto: bool = False) -> Path:
    """Build, record, summarise, replay, compare, report; everything goes to `out`.

    Parameters
    ----------
    out
        A folder; what an earlier demo left in it is replaced.
    link
        Between the programs and their registry; 20 ms and 200 Mbit/s by default.
    perfetto
        Whether to write ``trace.perfetto.json``.

    Returns
    -------
    Path
        The report.
    """
    folder, link = Path(out), link or Link()
    folder.mkdir(parents=True, exist_ok=True)
    with _step("1  Build an image of this interpreter's standard library") as said:
        image = _build(folder, said)
    with _step(f"2  Run three programs on it, {_words(link)} away from its registry") as said:
        recorded = _record(folder, link, said)
    with _step("3  Write down what happened") as said:
        _write(folder, recorded, perfetto, said)
    _console.print(view.summarize(recorded.events, recorded.reads, "recorded"))
    with _step("4  Replay it under other policies, on a virtual clock") as said:
        workload = Workload.from_reads(recorded.reads, image)
        settings = Settings(amplify_io=RECORDED_AMPLIFY, link=link, cpu=calibrate(recorded.events))
        frame = _grid(workload, image, settings, said)
    _console.print(view.Ranking(frame))
    with _step("   Run one that was not recorded, and compare") as said:
        predicted, measured = _unrecorded(folder, workload, image, settings, said)
    measured_run = view.Run("measured", measured.events, measured.reads)
    predicted_run = view.Run("predicted", predicted.events(), recorded.reads)
    runs = (predicted_run, measured_run)
    _console.print(view.compare({run.name: view.summarize(run.events, run.reads) for run in runs}))
    with _step("5  Draw it all") as said:
        report = folder / "report.html"
        recorded_run = view.Run("recorded", recorded.events, recorded.reads)
        view.write_report(
            report,
            image,
            recorded_run,
            link_bandwidth=link.bandwidth,
            grid=frame,
            predicted=predicted_run,
            measured=measured_run,
        )
        said.append(f"a page of {report.stat().st_size / 1e3:.0f} kB that needs nothing else")
    _console.print(f"\nThe report is [bold]{report}[/bold]: open it in a browser.")
    return report


@contextmanager
def _step(title: str) -> Iterator[list[str]]:
    """Say what is being done, and after it what was said, and how long it took."""
    said: list[str] = []
    start = time.monotonic()
    _console.print(f"[bold]{title}[/bold]", soft_wrap=True)
    yield said
    *lines, last = said
    for line in lines:
        _console.print(f"   {line}", soft_wrap=True)
    _console.print(f"   {last}  [dim]{time.monotonic() - start:.1f} s[/dim]", soft_wrap=True)


def _words(link: Link) -> str:
    return f"{link.rtt_ns / 1e6:g} ms and {link.bandwidth * 8 / 1e6:g} Mbit/s"


def _build(folder: Path, said: list[str]) -> Image:
    target = folder / "image"
    shutil.rmtree(target, ignore_errors=True)
    made = build(directory_tree(library_folder(), ("site-packages", "dist-packages")), target, progress=True)
    said.append(
        f"{made.files:,} files, {made.plain_bytes / 1e6:,.0f} MB in {made.chunks:,} chunks, "
        f"stored as {made.blob_bytes / 1e6:,.0f} MB"
    )
    return open_image(target)


def _record(folder: Path, link: Link, said: list[str]) -> Recording:
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    run = record(folder / "image", cache_dir=cache, amplify_io=RECORDED_AMPLIFY, link=link, progress=True)
    said += run.output.splitlines()
    modules = {name for names in run.modules.values() for name in names}
    said.append(f"{len(modules)} modules came out of the image")
    return run


def _write(folder: Path, run: Recording, perfetto: bool, said: list[str]) -> None:
    audit(run.events)
    said.append(f"{run.reads.num_rows:,} reads and {run.events.num_rows:,} events, whose ledgers balance")
    write_table(folder / "reads.parquet", run.reads)
    write_table(folder / "events.parquet", run.events)
    if perfetto:
        view.write_perfetto(folder / "trace.perfetto.json", view.Run("recorded", run.events, run.reads))


def _grid(workload: Workload, image: Image, settings: Settings, said: list[str]) -> pd.DataFrame:
    with tqdm(desc="replay", unit="run", delay=2, leave=False, disable=None) as bar:

        def shown(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        frame = grid(workload, image, settings, progress=shown)
    said.append(f"{len(frame)} combinations of {len(workload):,} reads each")
    return frame


def _unrecorded(
    folder: Path, workload: Workload, image: Image, settings: Settings, said: list[str]
) -> tuple[Result, Recording]:
    """Predict another amplify_io on a bounded LRU cache, then run it."""
    capacity = int(workload.touched_bytes * UNRECORDED_SHARE)
    other = replace(settings, amplify_io=UNRECORDED_AMPLIFY, eviction="lru", capacity=capacity)
    predicted = replay_workload(workload, image, other, record=True)
    cache = folder / "cache-lru"
    shutil.rmtree(cache, ignore_errors=True)
    measured = record(
        folder / "image",
        cache_dir=cache,
        amplify_io=UNRECORDED_AMPLIFY,
        capacity=capacity,
        eviction="lru",
        link=other.link,
        progress=True,
    )
    audit(measured.events)
    said.append(f"amplify_io {UNRECORDED_AMPLIFY >> 10} KiB, an LRU cache of {capacity / 1e6:.1f} MB")
    return predicted, measured
