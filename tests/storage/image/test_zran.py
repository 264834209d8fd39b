"""Gzip layers read at random, through the inflate contexts that a build saves."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.codec import InflateContext, Pieces, ZranReader, inflate_piece
from storage.errors import FormatError, StorageError
from storage.events import Recorder
from storage.factory import open_store
from storage.image import open_image
from storage.image.build import build_layer


def words(size: int, seed: int = 0) -> bytes:
    """Bytes that compress by half or so."""
    draw = random.Random(seed)
    table = [draw.randbytes(draw.randrange(2, 12)) for _ in range(2000)]
    return b"".join(draw.choices(table, k=size // 6))[:size]


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


FILES = {
    "big": words(9 << 20),
    "zeros": bytes(5 << 20),
    **{f"small{n}": words(700, n) for n in range(300)},
    "empty": b"",
}


def in_members(plain: bytes, size: int, strategy: int = 0) -> bytes:
    """A gzip file of many members."""
    return b"".join(gzip.compress(plain[at : at + size], 6) for at in range(0, len(plain), size))


LAYERS = {
    "one member": lambda plain: gzip.compress(plain, 6),
    "stored": lambda plain: gzip.compress(plain, 0),
    "fixed codes": lambda plain: _deflated(plain, zlib.Z_FIXED),
    "flushed": lambda plain: _flushed(plain),
    "many members": lambda plain: in_members(plain, 1 << 20),
    "padded": lambda plain: gzip.compress(plain, 1) + bytes(3000),
}


def _deflated(plain: bytes, strategy: int) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31, 8, strategy)
    return packer.compress(plain) + packer.flush()


def _flushed(plain: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    parts = [
        packer.compress(plain[at : at + 50_000]) + packer.flush(zlib.Z_SYNC_FLUSH)
        for at in range(0, len(plain), 50_000)
    ]
    return b"".join(parts) + packer.flush()


@pytest.fixture(scope="module")
def plain() -> bytes:
    """A tar of large, sparse and small files."""
    return tar_of(FILES)


@pytest.mark.parametrize("name", LAYERS)
def test_every_file(name: str, plain: bytes, tmp_path: Path) -> None:
    """Whatever wrote the layer, every file comes out of it."""
    layer = tmp_path / "layer.tar.gz"
    layer.write_bytes(LAYERS[name](plain))
    built = build_layer(layer, tmp_path / "image", conversion="targz-ref")
    assert built.blob is not None and built.blob.read_bytes() == layer.read_bytes()
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache") as rafs:
        assert {path: rafs.read(path) for path in FILES} == FILES


@pytest.mark.parametrize(("inline", "toc"), [(False, True), (True, False), (True, True)])
def test_what_lies_beside(inline: bool, toc: bool, plain: bytes, tmp_path: Path) -> None:
    """With the bootstrap in the file of ``blob.meta``, or a table of contents, the image reads the same."""
    (tmp_path / "layer").write_bytes(gzip.compress(plain))
    built = build_layer(tmp_path / "layer", tmp_path / "image", conversion="targz-ref", inline=inline, toc=toc)
    assert (tmp_path / "image" / "bootstrap").exists() != inline
    with open_store(built.bootstrap, cache_dir=tmp_path / "cache") as rafs:
        assert {path: rafs.read(path) for path in FILES} == FILES


def test_tiny_members(tmp_path: Path) -> None:
    """Members of a few bytes, even empty ones, are no trouble: the reference cannot read them."""
    files = {"a": words(3000), "b": b"x", "c": words(2000, 1)}
    plain = tar_of(files)
    members = [plain[at : at + size] for at, size in ((0, 1), (1, 0), (1, 9), (10, 600))]
    layer = tmp_path / "layer.tar.gz"
    layer.write_bytes(b"".join(map(gzip.compress, members)) + in_members(plain[610:], 37))
    build_layer(layer, tmp_path / "image", conversion="targz-ref")
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache") as rafs:
        assert {path: rafs.read(path) for path in files} == files


def test_costs_one_piece(tmp_path: Path) -> None:
    """4 KiB at a random place of a large layer fetch one piece of it, and nothing else."""
    data = words(24 << 20)
    layer = tmp_path / "layer.tar.gz"
    layer.write_bytes(gzip.compress(tar_of({"data": data}), 1))
    build_layer(layer, tmp_path / "image", conversion="targz-ref")
    recorder = Recorder()
    with open_store(tmp_path / "image", cache_dir=tmp_path / "cache", amplify_io=0, recorder=recorder) as rafs:
        rows = recorder.table().num_rows
        for at in (19 << 20, 5_000_001, 12 << 20):
            assert rafs.read("data", at, 4096) == data[at : at + 4096]
        events = recorder.table().slice(rows).to_pandas()
    requests = events[events["kind"] == "request"]
    assert len(requests) == 3
    assert requests["length"].max() < 2 << 20
    assert layer.stat().st_size > 8 * requests["length"].max()


def test_cut_short(plain: bytes, tmp_path: Path) -> None:
    """A layer that ends early, or is none, is refused, and leaves nothing behind."""
    for content in (gzip.compress(plain)[:-3000], gzip.compress(plain)[:-4], b"\x1f\x8b" + bytes(50), plain):
        (tmp_path / "layer").write_bytes(content)
        with pytest.raises(FormatError):
            build_layer(tmp_path / "layer", tmp_path / "image", conversion="targz-ref")
        assert not list((tmp_path / "image" / "blobs").iterdir())


def pieces_of(stored: bytes) -> tuple[Pieces, bytes]:
    """A stream read in chunks, with its pieces."""
    reader = ZranReader(io.BytesIO(stored), "x")
    pieces, out = Pieces(reader), bytearray(reader.read(512))  # contents come behind a header
    while True:
        pieces.begin(1 << 20)
        before = len(out)
        while len(out) - before < 100_000 and (data := reader.read(100_000 - (len(out) - before))):
            out += data
        pieces.end()
        if len(out) - before < 100_000:
            return pieces, bytes(out)


@settings(max_examples=200, deadline=2000)
@given(data=st.data())
def test_broken_pieces(data: st.DataObject) -> None:
    """Whatever is changed in a piece or its context, it is that many bytes or our error, soon."""
    stored = _PIECES[0]
    piece = data.draw(st.sampled_from(_PIECES[1].pieces))
    start = piece.place.stored
    content = bytearray(stored[start : start + piece.stored_size])
    context = piece.place.context
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    bits, byte = data.draw(st.sampled_from([context.bits, 0, 3, 7])), data.draw(st.sampled_from([context.byte, 255]))
    window = context.window[: data.draw(st.sampled_from([len(context.window), 0, 100]))]
    size = data.draw(st.sampled_from([piece.plain_size, 0, piece.plain_size * 2]))
    began = time.monotonic()
    try:
        inflate_piece(InflateContext(bits, byte, window), memoryview(content), memoryview(bytearray(size)))
    except StorageError as error:
        assert error.message
    assert time.monotonic() - began < 2


_STORED = in_members(words(4 << 20), 1_500_000)
_PIECES = (_STORED, pieces_of(_STORED)[0])


def test_pieces_give_the_stream() -> None:
    """Pieces, each inflated from its context, are the stream's own bytes, across members."""
    pieces, plain = pieces_of(_STORED)
    assert len(pieces.pieces) > 2
    for piece in pieces.pieces:
        out = bytearray(piece.plain_size)
        start = piece.place.stored
        inflate_piece(piece.place.context, memoryview(_STORED)[start : start + piece.stored_size], memoryview(out))
        assert out == plain[piece.place.plain : piece.place.plain + piece.plain_size]


def test_without_its_meta(plain: bytes, tmp_path: Path) -> None:
    """The bootstrap alone shows the tree."""
    (tmp_path / "layer").write_bytes(gzip.compress(plain))
    built = build_layer(tmp_path / "layer", tmp_path / "image", conversion="targz-ref")
    for blob in (tmp_path / "image" / "blobs").iterdir():
        blob.unlink()
    assert open_image(built.bootstrap).stat(0).st_nlink == 2
