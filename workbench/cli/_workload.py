"""A recorded trace as verbs take it: laid over an image, with the processor's costs that were recorded with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.image import Image, open_image
from workbench.cli._options import Blobs
from workbench.replay import Settings, Workload, calibrate, fleet
from workbench.trace import check_image, read_reads

__all__ = ["laid", "on_machines", "with_cpu"]


def laid(trace: Path, image: Path, blobs: Blobs = None, any_image: bool = False) -> tuple[pa.Table, Image, Workload]:
    """The trace's reads, the image, and one over the other.

    Raises
    ------
    TraceError
        If the trace is of another image, unless it may be.
    """
    reads, opened = read_reads(trace), open_image(image, blobs)
    if not any_image:
        check_image(reads, opened.bootstrap_digest, trace)
    return reads, opened, Workload.from_reads(reads, opened)


def on_machines(workload: Workload, clients: int) -> Workload:
    """The same on so many machines at once."""
    return fleet([workload] * clients) if clients > 1 else workload


def with_cpu(settings: Settings, trace: Path) -> Settings:
    """Settings with costs fitted to events.parquet beside the trace, if it is there."""
    events = trace.with_name("events.parquet")
    return replace(settings, cpu=calibrate(pq.read_table(events))) if events.exists() else settings
