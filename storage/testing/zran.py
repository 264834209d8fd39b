"""Blobs that are gzip layers, read through the inflate contexts of a reference build."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from storage.image import open_image
from storage.image.build import build_layer
from storage.testing.blobs import Made

__all__ = ["make_zran"]


def make_zran(folder: Path, contents: Sequence[Sequence[bytes]]) -> Made:
    """One layer of a file for each chunk, none of them twice; inflate contexts are 768 KiB apart or so."""
    kept = tuple(dict.fromkeys(chunk for chunks in contents for chunk in chunks))
    with tempfile.TemporaryDirectory() as place:
        layer, out = Path(place) / "layer.tar.gz", Path(place) / "image"
        with gzip.open(layer, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
            for number, content in enumerate(kept):
                info = tarfile.TarInfo(f"{number:06}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        build_layer(layer, out, conversion="targz-ref")
        for blob in (out / "blobs").iterdir():
            shutil.move(blob, folder)
        image = open_image(out, folder)
    return Made(folder, tuple(image.infos), image.blobs, image.chunks, kept)
