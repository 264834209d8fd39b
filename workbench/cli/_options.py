"""What several verbs take, and where they read an image's blobs."""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from storage.backend import MeteredBackend, meters_of, metrics_rows
from storage.config import ConfigV2
from storage.external import with_external
from storage.factory import open_store
from storage.fs import Rafs
from storage.image import BlobSource, locate
from storage.oci import REGISTRY_FILE, load_backend
from storage.openers import open_external
from workbench.cli._blobs import Configured

__all__ = ["Blobs", "blobs_option", "stored_blobs", "temporary_store"]

Blobs = Path | Configured | None
"""Where an image's blobs are: in a folder, where a configuration says, or where they are by default."""

_METERS = "workbench.meters"


def blobs_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--blobs``, ``--config`` and ``--metrics``; the command is given `Blobs` as ``blobs``."""

    @functools.wraps(command)
    def resolved(*args: Any, blobs: Path | None, config: Path | None, metrics: bool, **kwargs: Any) -> Any:
        context = click.get_current_context()
        if metrics:
            context.call_on_close(lambda: _print_metrics(context.meta.get(_METERS, [])))
        place: Blobs = blobs
        if config is not None:
            if blobs is not None:
                raise click.UsageError("--config says where blobs are: leave out --blobs")
            place = Configured(kwargs["image"], config, meter)
            context.call_on_close(place.close)
        return command(*args, blobs=place, **kwargs)

    for option in (
        click.option("--metrics", is_flag=True, help="Say in the end, on standard error, what backends were asked."),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="Configuration of backend and cache: ConfigV2 in TOML or JSON, or nydusd's JSON.",
        ),
        click.option("--blobs", type=click.Path(path_type=Path), help="Folder of blobs; by default the image's."),
    ):
        resolved = option(resolved)
    return resolved


def meter(meters: Sequence[MeteredBackend]) -> None:
    """Have backends in what ``--metrics`` prints."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta.setdefault(_METERS, []).extend(meters)


def _print_metrics(meters: Sequence[MeteredBackend]) -> None:
    for row in metrics_rows(meters):
        print(*(f"{name} {value}" for name, value in row.items()), sep=", ", file=sys.stderr)


def stored_blobs(image: Path, blobs: Blobs) -> Path | BlobSource | None:
    """Where blobs are that are read whole: as said, or for an image that `open` fetched, in its registry."""
    if blobs is not None:
        return blobs
    located = locate(image)
    pulled = load_backend(located.path.parent / REGISTRY_FILE)
    if pulled is None:
        return None
    every = with_external(located, ConfigV2(), pulled, open_external)
    meter(meters_of(every))
    click.get_current_context().call_on_close(every.close)
    return every


@contextmanager
def temporary_store(image: Path, blobs: Blobs) -> Iterator[Rafs]:
    """A store on a cache that goes again, or that which a configuration describes."""
    if isinstance(blobs, Configured):
        with blobs.open_store() as rafs:
            meter(rafs.backends)
            yield rafs
        return
    with (
        tempfile.TemporaryDirectory(prefix="workbench-") as folder,
        open_store(image, blobs, cache_dir=folder) as rafs,
    ):
        meter(rafs.backends)
        yield rafs
