"""What several verbs take, and the store that they read through."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from storage.factory import open_store
from storage.fs import Rafs

__all__ = ["blobs_option", "image_argument", "json_option", "temporary_store"]

image_argument = click.argument("image", metavar="IMAGE", type=click.Path(path_type=Path))
blobs_option = click.option("--blobs", type=click.Path(path_type=Path), help="Folder of blobs; by default the image's.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@contextmanager
def temporary_store(image: Path, blobs: Path | None) -> Iterator[Rafs]:
    """A store on a cache that goes again."""
    with (
        tempfile.TemporaryDirectory(prefix="workbench-") as folder,
        open_store(image, blobs, cache_dir=folder) as rafs,
    ):
        yield rafs
