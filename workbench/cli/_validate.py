"""The verb that runs a workload for real and replays it: validate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.table import Table

from storage.backend import BlobBackend, Link
from storage.factory import default_backend
from storage.image import locate
from workbench.cli._blobs import Configured
from workbench.cli._figures import column_table, figure, title
from workbench.cli._link import LINK
from workbench.cli._main import example, group
from workbench.cli._options import meter
from workbench.cli._settings import amplify_option, clients_option, guarded, loop_option, settings_options
from workbench.cli._types import SIZE, Share, bytes_of
from workbench.cli._workload import laid, on_machines
from workbench.replay import PREFETCH, Settings, Validation, validate

__all__: list[str] = []


@group.command(
    "validate",
    **example(
        "workbench validate trace/reads.parquet --image image --link rtt=20ms,bw=200Mbit",
        "workbench validate trace/reads.parquet --image image --link lan --amplify 128KiB --fit-amplify 1MiB",
        "workbench validate trace/reads.parquet --image image --config nydusd.toml --eviction lru --cache-size 50%",
        "workbench validate trace/reads.parquet --image image --link lan --clients 4 --loop open",
    ),
)
@click.argument("trace", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--image", required=True, type=click.Path(path_type=Path), help="The image that was read.")
@click.option("--config", type=click.Path(path_type=Path), help="Where blobs are: nydusd's configuration, or ConfigV2.")
@click.option("--link", type=LINK, help="Put before the blobs; without it, what lies before them is fitted.")
@click.option("--prefetch", type=click.Choice(PREFETCH), default="none", show_default=True)
@click.option("--fit-amplify", type=SIZE, help="amplify_io of the run that costs are taken from; by default the same.")
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@clients_option
@loop_option
@settings_options
@amplify_option
def validate_command(
    trace: Path,
    image: Path,
    config: Path | None,
    link: Link | None,
    prefetch: str,
    fit_amplify: int | None,
    runs: int,
    as_json: bool,
    clients: int,
    loop: str,
    eviction: str,
    admission: str,
    cache_size: int | Share | None,
    amplify: int | str,
    plan: str,
) -> None:
    """Run a recorded workload for real, cold each time, and replay it: does the replay say what happens?

    Costs of the processor, and without --link what lies before the blobs, are fitted to one run before those
    that are compared.
    """
    eviction = guarded(eviction, admission, cache_size)
    _, _, workload = laid(trace, image)
    capacity = None if cache_size is None else bytes_of(cache_size, workload.touched_bytes)
    ours = Settings(plan=plan, amplify_io=amplify, capacity=capacity, eviction=eviction, prefetch=prefetch, loop=loop)
    ours = ours if link is None else replace(ours, link=link)
    other = ours if fit_amplify is None else replace(ours, amplify_io=fit_amplify)
    backend = _backend(image, config, link)
    workload = on_machines(workload, clients)
    found = validate(image, workload, ours, backend=backend, fitted_on=other, runs=runs)
    if as_json:
        print(json.dumps(_as_dict(found)))
    else:
        Console().print(Group(_table(found), _verdict(found)))


def _backend(image: Path, config: Path | None, link: Link | None) -> BlobBackend | None:
    """Where blobs are, if they are not to be behind a link of ours."""
    if link is not None:
        if config is not None:
            raise click.UsageError("--config says where blobs are, behind what lies before them: leave out --link")
        return None
    if config is None:
        backend = default_backend(locate(image))
        meter([backend])
        click.get_current_context().call_on_close(backend.close)
        return backend
    configured = Configured(image, config, meter)
    click.get_current_context().call_on_close(configured.close)
    return configured


def _as_dict(found: Validation) -> dict[str, Any]:
    measures = found.table.to_dict("index")
    fitted = {"link": vars(found.settings.link), "cpu": vars(found.settings.cpu)}
    said = {"identical": found.identical, "in_range": found.is_in_range(), "worst": found.worst}
    return {"measures": measures, **said, **fitted}


def _table(found: Validation) -> Table:
    table = column_table(("", "live", "replayed", "off", "least", "most"))
    for measure, row in found.table.to_dict("index").items():
        name = str(measure)
        live, replayed, least, most = (
            figure(name, row[it] if name.endswith("_ns") else int(row[it]))
            for it in ("live", "replayed", "least", "most")
        )
        table.add_row(title(name), live, replayed, f"{row['off']:+.1%}", least, most)
    return table


def _verdict(found: Validation) -> str:
    identical, in_range = ("yes" if it else "no" for it in (found.identical, found.is_in_range()))
    return (
        f"\ndecisions identical: {identical}; most off: {title(found.worst)}\n"
        f"live within 5 % of the range of {len(found.replays)} replays of a machine that is late: {in_range}"
    )
