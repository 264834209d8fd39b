"""eStargz layers: a gzip member for each chunk, and a table of contents that is no part of the tree."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from storage.factory import open_store
from storage.image import open_image
from storage.image.build import build_layer

CHUNK = 4096
FILES = {"a": bytes(range(256)) * 100, "d/b": b"x" * 10, "d/c": b"", "e": b"tail" * 5000}


def estargz(files: dict[str, bytes]) -> bytes:
    """A small eStargz file: landmark, headers and chunks each in a member of its own, the TOC, the footer."""
    out, toc = bytearray(), []
    for name, data in ({".no.prefetch.landmark": b"\xf0"} | files).items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        out += gzip.compress(info.tobuf())
        for at in range(0, len(data), CHUNK):
            toc.append({"name": name, "type": "chunk" if at else "reg", "offset": len(out), "chunkOffset": at})
            piece = data[at : at + CHUNK]
            last = at + CHUNK >= len(data)
            out += gzip.compress(piece + bytes(-len(data) % 512 if last else 0))
    table = json.dumps({"version": 1, "entries": toc}).encode()
    info, start = tarfile.TarInfo("stargz.index.json"), len(out)
    info.size = len(table)
    out += gzip.compress(info.tobuf() + table + bytes(-len(table) % 512) + bytes(1024))
    extra = b"SG\x16\x00" + b"%016xSTARGZ" % start
    return (
        bytes(out) + b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + b"\x1a\x00" + extra + b"\x01\x00\x00\xff\xff" + bytes(8)
    )


@pytest.mark.parametrize("conversion", ["estargz-rafs", "estargz-ref"])
def test_every_file(conversion: str, tmp_path: Path) -> None:
    """Stored anew or read in place, all files come out, and eStargz's own are not among them."""
    layer = tmp_path / "layer"
    layer.write_bytes(estargz(FILES))
    build_layer(layer, tmp_path / "image", conversion=conversion)
    assert sorted(open_image(tmp_path / "image").paths()[0]) == [b"/", b"/a", b"/d", b"/d/b", b"/d/c", b"/e"]
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache") as rafs:
        assert {path: rafs.read(path) for path in FILES} == FILES
