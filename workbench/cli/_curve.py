"""The verb for miss-ratio curves."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from workbench import policy
from workbench.cli._figures import column_table, figure, title
from workbench.cli._main import example, group
from workbench.simulate import lru_curve, shards_curve
from workbench.trace.formats import FORMATS, object_trace

__all__: list[str] = []


@group.command(
    "mrc",
    **example(
        "workbench mrc requests.oracleGeneral.zst",
        "workbench mrc requests.csv --eviction s3-fifo --rate 0.1 --points 20 --json",
    ),
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="Of TRACE; by default as it is named.")
@click.option("--eviction", type=click.Choice(policy.names()), default="lru", show_default=True)
@click.option("--rate", type=float, default=0.1, show_default=True, help="Share of objects sampled if it is not LRU.")
@click.option("--points", type=click.IntRange(1), default=20, show_default=True, help="How many sizes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def mrc_command(trace: Path, kind: str | None, eviction: str, rate: float, points: int, as_json: bool) -> None:
    """Print a trace's miss-ratio curve: for LRU the exact one, for others by sampling (SHARDS)."""
    requests = object_trace(trace, kind, held=eviction != "lru")
    sizes = np.linspace(0, int(requests.sizes.sum()), points + 1).astype(np.int64)[1:]
    exact = eviction == "lru"
    curve = lru_curve(requests).at(sizes) if exact else shards_curve(requests, eviction, sizes.tolist(), rate)
    rows = curve.to_pandas().to_dict("records")
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    names = ("cache_size", "miss_ratio", "byte_miss_ratio")
    table = column_table(map(title, names), first="right")
    for row in rows:
        table.add_row(*(figure(name, row[name]) for name in names))
    Console().print(table)
