"""Verbs that turn an image into something else: unpack."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from storage.errors import ConfigError
from storage.image import locate, open_image
from storage.image.verbs import unpack
from workbench.cli._main import example, group
from workbench.cli._options import blobs_option, image_argument

__all__: list[str] = []


@group.command(
    "unpack",
    **example(
        "workbench unpack image -o rootfs.tar",
        "workbench unpack image | tar -x --xattrs --xattrs-include='*' -C rootfs",
        "workbench unpack image | zstd > rootfs.tar.zst",
    ),
)
@image_argument
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The tar to write; by default standard output.")
@blobs_option
def unpack_command(image: Path, out: Path | None, blobs: Path | None) -> None:
    """Write an image as a tar: every file with owners, times, xattrs, devices and hard links."""
    located, opened = locate(image, blobs), open_image(image, blobs)
    with _target(out) as file:
        done = unpack(opened, located.blobs, file, progress=True)
    left = f", {done.sockets:,} sockets left out" if done.sockets else ""
    print(f"{out or 'tar'}: {done.files:,} files, {done.bytes / 1e6:,.1f} MB{left}", file=sys.stderr)


@contextlib.contextmanager
def _target(path: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that has its name once it is whole."""
    if path is None:
        if sys.stdout.isatty():
            raise click.UsageError("a tar on a terminal? say --out FILE, or pipe it")
        yield sys.stdout.buffer
        return
    try:
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=".partial-", delete=False) as file:
            try:
                yield file
                file.close()
                os.chmod(file.name, 0o644)  # noqa: PTH101
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=path) from error
