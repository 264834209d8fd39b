"""What several verbs take, and the store that they read through."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from storage.factory import open_store
from storage.fs import Rafs

__all__ = ["blobs_option", "config_option", "image_argument", "json_option", "temporary_store"]

image_argument = click.argument("image", metavar="IMAGE", type=click.Path(path_type=Path))
blobs_option = click.option("--blobs", type=click.Path(path_type=Path), help="Folder of blobs; by default the image's.")
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration of backend and cache: ConfigV2 in TOML or JSON, or nydusd's JSON.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@contextmanager
def temporary_store(image: Path, blobs: Path | None, config: Path | None = None) -> Iterator[Rafs]:
    """A store on a cache that goes again, or that which a configuration describes."""
    if config is not None:
        if blobs is not None:
            raise click.UsageError("--config says where blobs are: leave out --blobs")
        with _configured(image, config) as rafs:
            yield rafs
        return
    with (
        tempfile.TemporaryDirectory(prefix="workbench-") as folder,
        open_store(image, blobs, cache_dir=folder) as rafs,
    ):
        yield rafs


def _configured(image: Path, path: Path) -> Rafs:
    # Not at the top: whoever has no configuration need not wait for every backend.
    from storage.config import load_config
    from storage.configured import open_configured

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rafs = open_configured(image, load_config(path))
    for warning in caught:
        print(f"workbench: warning: {warning.message}", file=sys.stderr)
    return rafs
