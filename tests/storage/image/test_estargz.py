"""Stargz layers: a gzip member for each chunk, and a table of contents that is no part of the tree."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.errors import IntegrityError, StorageError
from storage.events import Recorder
from storage.factory import open_store
from storage.image import open_image
from storage.image.build import build, build_layer, build_stargz_toc
from storage.image.build._stargz_toc import find_toc
from storage.image.decode import Decoder
from storage.image.verbs import check

CHUNK = 4096
FILES = {"a": bytes(range(256)) * 100, "d/b": b"x" * 10, "d/c": b"", "e": b"tail" * 5000}


def estargz(files: dict[str, bytes], *, legacy: bool = False, together: bool = False, more: Any = ()) -> bytes:
    """A small stargz file: landmark, headers and chunks each in a member of its own, the TOC, the footer.

    Legacy ones have no digests of chunks; small files may lie together in one member.
    """
    out, toc = bytearray(), list[dict[str, Any]](more)
    held = bytearray()
    for name, data in ({".no.prefetch.landmark": b"\xf0"} | files).items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        entry: dict[str, Any] = {"name": name, "type": "reg", "size": len(data), "mode": 0o640, "uid": 7}
        entry["digest"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if together and len(data) <= CHUNK:
            held += info.tobuf()
            toc.append(entry | {"offset": len(out), "innerOffset": len(held)} | digest_of(data, legacy))
            held += data + bytes(-len(data) % 512)
            continue
        if held:
            out += gzip.compress(bytes(held))
            held.clear()
        out += gzip.compress(info.tobuf())
        for at in range(0, len(data) or 1, CHUNK):
            piece = data[at : at + CHUNK]
            last = at + CHUNK >= len(data)
            place = {"offset": len(out), "chunkOffset": at, "chunkSize": 0 if last else CHUNK}
            told = entry if at == 0 else {"name": name, "type": "chunk"}
            toc.append(told | place | digest_of(piece, legacy))
            out += gzip.compress(piece + bytes(-len(data) % 512 if last else 0))
    out += gzip.compress(bytes(held)) if held else b""
    return bytes(out) + tail({"version": 1, "entries": toc}, len(out), legacy)


def digest_of(piece: bytes, legacy: bool) -> dict[str, str]:
    """What a table says of a chunk."""
    return {} if legacy else {"chunkDigest": f"sha256:{hashlib.sha256(piece).hexdigest()}"}


def tail(table: Any, start: int, legacy: bool = False) -> bytes:
    """The table in a tar in a member, and the footer that leads to it."""
    content = table if isinstance(table, bytes) else json.dumps(table).encode()
    info = tarfile.TarInfo("stargz.index.json")
    info.size = len(content)
    extra = (b"" if legacy else b"SG\x16\x00") + b"%016xSTARGZ" % start
    packed = gzip.compress(info.tobuf() + content + bytes(-len(content) % 512) + bytes(1024))
    footer = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + len(extra).to_bytes(2, "little") + extra
    return packed + footer + b"\x01\x00\x00\xff\xff" + bytes(8)


def table_of(layer: bytes) -> tuple[int, Any]:
    """Where the table's member begins, and the table."""
    found = find_toc(io.BytesIO(layer), "layer")
    assert found is not None
    return found[1], json.loads(found[0])


KINDS: dict[str, dict[str, Any]] = {"estargz": {}, "legacy": {"legacy": True}, "together": {"together": True}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("conversion", ["estargz-rafs", "estargz-ref", "targz-ref"])
def test_every_file(conversion: str, kind: str, tmp_path: Path) -> None:
    """Stored anew or read in place, all files come out, and eStargz's own are not among them."""
    layer = tmp_path / "layer"
    layer.write_bytes(estargz(FILES, **KINDS[kind]))
    build_layer(layer, tmp_path / "image", conversion=conversion)
    assert sorted(open_image(tmp_path / "image").paths()[0]) == [b"/", b"/a", b"/d", b"/d/b", b"/d/c", b"/e"]
    assert check(tmp_path / "image", deep=True).ok
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache") as rafs:
        assert {path: rafs.read(path) for path in FILES} == FILES


def test_attributes(tmp_path: Path) -> None:
    """Folders, links, devices, times and xattrs are those of the table."""
    more = [
        {"name": "d/", "type": "dir", "mode": 0o1777, "gid": 9, "modtime": "2020-01-02T03:04:05.5Z"},
        {"name": "s", "type": "symlink", "linkName": "../a"},
        {"name": "c", "type": "char", "devMajor": 1, "devMinor": 300},
        {"name": "p", "type": "fifo", "xattrs": {"user.k": base64.b64encode(b"v\0").decode()}},
    ]
    link = {"name": "h", "type": "hardlink", "linkName": "a"}
    content = estargz(FILES, more=more)
    at, table = table_of(content)
    table["entries"].append(link)
    (tmp_path / "layer").write_bytes(content[:at] + tail(table, at))
    build_layer(tmp_path / "layer", tmp_path / "image", conversion="estargz-ref")
    image = open_image(tmp_path / "image")
    folder, file, device, pipe = (image.stat(image.lookup(path)) for path in ("/d", "/h", "/c", "/p"))
    assert (folder.st_mode, folder.st_gid, folder.st_mtime_ns) == (0o41777, 9, 1577934245 * 10**9)
    assert (file.st_mode, file.st_uid, file.st_nlink, file.st_size) == (0o100640, 7, 2, len(FILES["a"]))
    assert (device.st_mode, device.st_rdev) == (0o20000, 1 << 8 | 300 & 0xFF | (300 & ~0xFF) << 12)
    assert image.readlink(image.lookup("/s")) == b"../a"
    assert image.xattrs(image.lookup("/p")) == {"user.k": b"v\0"}
    assert pipe.st_mode == 0o10000


def test_costs_one_chunk(tmp_path: Path) -> None:
    """A read in a file of many chunks fetches the member that it lies in, and no more."""
    data = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(8192))
    (tmp_path / "layer").write_bytes(estargz({"data": data}))
    build_layer(tmp_path / "layer", tmp_path / "image", conversion="estargz-ref")
    recorder = Recorder()
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache", amplify_io=0, recorder=recorder) as rafs:
        rows = recorder.table().num_rows
        assert rafs.read("data", 100_000, 500) == data[100_000:100_500]
        events = recorder.table().slice(rows).to_pandas()
    (length,) = events[events["kind"] == "request"]["length"]
    assert length <= CHUNK + 200


def test_table_alone(tmp_path: Path) -> None:
    """The table, without the layer, is enough for an image that reads the layer where it is."""
    content = estargz(FILES)
    (tmp_path / "toc.json").write_text(json.dumps(table_of(content)[1]))
    blob_id = hashlib.sha256(content).hexdigest()
    built = build_stargz_toc(tmp_path / "toc.json", tmp_path / "image", blob_id=blob_id, blob_size=len(content))
    assert built.bootstrap == tmp_path / "image" / "bootstrap"
    (tmp_path / "image" / "blobs" / blob_id).write_bytes(content)
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache") as rafs:
        assert {path: rafs.read(path) for path in FILES} == FILES


def test_wrong_digest(tmp_path: Path) -> None:
    """A chunk that is not what the table says is not handed out."""
    content = estargz({"a": b"right" * 100})
    at, table = table_of(content)
    table["entries"][1]["chunkDigest"] = "sha256:" + "0" * 64
    (tmp_path / "layer").write_bytes(content[:at] + tail(table, at))
    build_layer(tmp_path / "layer", tmp_path / "image", conversion="estargz-ref")
    with (
        open_store(tmp_path / "image", cache_dir=tmp_path / "cache") as rafs,
        pytest.raises(IntegrityError),
    ):
        rafs.read("a")


REG = {"name": "f", "type": "reg", "size": 9, "offset": 0, "chunkDigest": "sha256:" + "0" * 64}
HOSTILE: dict[str, Any] = {
    "climbs out": [REG | {"name": "../f"}],
    "absolute": [REG | {"name": "/etc/passwd"}],
    "through a link": [{"name": "l", "type": "symlink", "linkName": "/"}, REG | {"name": "l/f"}],
    "twice": [REG, REG],
    "link to nothing": [{"name": "h", "type": "hardlink", "linkName": "nothing"}],
    "link to itself": [{"name": "h", "type": "hardlink", "linkName": "h"}],
    "links in a circle": [{"name": a, "type": "hardlink", "linkName": b} for a, b in (("g", "h"), ("h", "g"))],
    "chunk of nothing": [{"name": "f", "type": "chunk", "offset": 3, "chunkOffset": 9}],
    "past the end": [REG | {"offset": 1 << 40}],
    "huge": [REG | {"size": 1 << 43}],
    "negative": [REG | {"size": -9}],
    "not a number": [REG | {"size": "9"}],
    "gap": [REG | {"chunkSize": 4}, {"name": "f", "type": "chunk", "offset": 5, "chunkOffset": 5}],
    "too many chunks": [REG, {"name": "f", "type": "chunk", "offset": 5, "chunkOffset": 9}],
    "odd digest": [REG | {"chunkDigest": "sha256:.."}],
    "odd kind": [{"name": "f", "type": "door"}],
    "odd time": [REG | {"modtime": "soon"}],
    "odd xattrs": [REG | {"xattrs": {"user.k": 5}}],
    "odd entry": [7],
    "no name": [{"type": "dir"}],
    "deep": [REG | {"name": "d/" * 3000 + "f"}],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_hostile_tables(entries: Any, tmp_path: Path) -> None:
    """What cannot be a tree or its chunks is refused, and nothing is left behind."""
    start = gzip.compress(b"content")
    (tmp_path / "layer").write_bytes(start + tail({"version": 1, "entries": entries}, len(start)))
    with pytest.raises(StorageError):
        build_layer(tmp_path / "layer", tmp_path / "image", conversion="estargz-ref")
    assert not list((tmp_path / "image" / "blobs").iterdir())


NO_TABLES = (b"", b"[]", b"{", b"[" * 100_000, b'{"version": 2, "entries": []}', b'{"entries": 1}')


@pytest.mark.parametrize("table", NO_TABLES)
def test_no_table(table: bytes, tmp_path: Path) -> None:
    """What is no table of contents is refused."""
    (tmp_path / "layer").write_bytes(tail(table, 0))
    with pytest.raises(StorageError):
        build_layer(tmp_path / "layer", tmp_path / "image", conversion="estargz-ref")


def test_legacy_images(tmp_path: Path) -> None:
    """Chunks of gzip blobs without contexts may be said to be longer than they are, and go on behind their bytes."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_bytes(b"content" * 100)
    build(tmp_path / "tree", tmp_path / "image", version=5, compressor="gzip")
    image = open_image(tmp_path / "image")
    stored = gzip.compress(b"content" * 100 + bytes(324)) + b"the next member"
    longer = replace(image.chunks, compressed_size=np.array([len(stored)]))
    decoder = Decoder(image.infos, longer)
    assert decoder.open(0, 0, memoryview(stored)).chunk(0) == b"content" * 100
    for broken in (stored[:20], gzip.compress(b"content" * 99), b"\x1f\x8b" + bytes(60)):
        with pytest.raises(IntegrityError):
            decoder.open(0, 0, memoryview(broken.ljust(60, b"\0"))).chunk(0)
