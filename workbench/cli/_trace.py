"""Verbs about traces of objects."""

from __future__ import annotations

from pathlib import Path

import click

from workbench.cli._main import example, group
from workbench.trace.formats import FORMATS, WRITERS, detect, object_trace, write_trace

__all__: list[str] = []


@group.group("trace")
def trace_group() -> None:
    """Turn traces of objects into others."""


@trace_group.command(
    "convert",
    **example(
        "workbench trace convert requests.vscsi requests.oracleGeneral.zst",
        "workbench trace convert requests.log requests.parquet --from twitter",
    ),
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--from", "read_as", type=click.Choice(list(FORMATS)), help="Of IN; by default as it is named.")
@click.option("--to", "write_as", type=click.Choice(list(WRITERS)), help="Of OUT; by default as it is named.")
def convert_command(source: Path, target: Path, read_as: str | None, write_as: str | None) -> None:
    """Write a trace in another format; objects are numbered in the order of their first request."""
    kind = write_as or detect(target)
    trace = object_trace(source, read_as, held=kind == "oracleGeneral")
    write_trace(target, trace, kind)
    print(f"{len(trace):,} requests for {len(trace.sizes):,} objects, {trace.bytes:,} bytes")
