"""Verbs that turn an image into something else: export, unpack."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from storage.errors import ConfigError
from storage.image import locate, open_image
from storage.image.verbs import export_block, export_devices, unpack
from workbench.cli._arguments import image_argument, json_option
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option, stored_blobs

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
def unpack_command(image: Path, out: Path | None, blobs: Blobs) -> None:
    """Write an image as a tar: every file with owners, times, xattrs, devices and hard links."""
    located = locate(image, stored_blobs(image, blobs))
    opened = open_image(image, located.blobs)
    with _target(out) as file:
        done = unpack(opened, located.blobs, file, progress=True)
    left = f", {done.sockets:,} sockets left out" if done.sockets else ""
    said = sys.stdout if out else sys.stderr  # or it would be in the tar
    print(f"{out or 'tar'}: {done.files:,} files, {done.bytes / 1e6:,.1f} MB{left}", file=said)


@group.command(
    "export",
    **example(
        "workbench export image -o image.erofs && mount -t erofs -o loop image.erofs /mnt",
        "workbench export image -o image.erofs --verity --json",
        "workbench export image -o devices --devices",
    ),
)
@image_argument
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The file, or folder, to write.")
@click.option("--verity", is_flag=True, help="Put a hash tree for dm-verity behind it.")
@click.option("--devices", is_flag=True, help="A folder of the bootstrap and a file a blob, instead of one image.")
@json_option
@blobs_option
def export_command(image: Path, out: Path, verity: bool, devices: bool, as_json: bool, blobs: Blobs) -> None:
    """Write a v6 image uncompressed, for the kernel's EROFS driver to mount.

    In one file by default. With --devices, the blobs are files of their own: the kernel takes each as
    device=FILE, and fsck.erofs (1.5 and later) wants --device=FILE for each, in the same order.
    """
    if devices and verity:
        raise click.UsageError("a hash tree goes behind one image: --verity and --devices exclude each other")
    place = stored_blobs(image, blobs)
    if devices:
        bootstrap, *files = export_devices(image, out, place, progress=True)
        if as_json:
            print(json.dumps({"bootstrap": str(bootstrap), "devices": [str(file) for file in files]}))
            return
        print(f"{bootstrap}: mount -t erofs -o {','.join(f'device={file}' for file in files) or 'ro'}")
        print(" ".join(["fsck.erofs", *(f"--device={file}" for file in files), str(bootstrap)]))
        return
    made = export_block(image, out, place, verity=verity, progress=True)
    if as_json:
        print(json.dumps({"image": str(made.path), "size": made.size, **(vars(made.verity) if made.verity else {})}))
        return
    print(f"{made.path}: {made.size:,} bytes")
    if made.verity:
        options = " ".join(made.verity.arguments())
        print(f"veritysetup open {options} {made.path} NAME {made.path} {made.verity.root}")


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
