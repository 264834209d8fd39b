"""What is fuzzed: each target takes bytes, and either makes sense of them or raises our own error.

A target raises nothing else, and neither waits nor takes memory beyond what its input is worth.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import json
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from storage.codec import Cipher, Compressor, inflate_piece
from storage.errors import StorageError
from storage.image import BlobFeatures, BlobInfo, chunk_digests, open_bootstrap, read_blob_meta
from storage.image._chunks import blob_rows, check_meta
from storage.image._contents import extract, read_toc
from storage.image._inflate import inflate_contexts
from storage.image._ondisk import META_HEADER
from storage.image.build import TarStream, TarTree, plain_stream
from storage.image.build._sink import Sink
from storage.image.build._stargz_ref import write_stargz, write_stargz_toc
from storage.image.verbs import LayeredTree, docker_layers, oci_layers
from tests.fuzz import seeds

__all__ = ["TARGETS", "Target"]


class Target(NamedTuple):
    """A function, and what to start from."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


def bootstrap(data: bytes) -> None:
    """Every table of a bootstrap, every path, xattr and link."""
    image = open_bootstrap(data).image()
    _, rows = image.paths()
    for row in rows[:50].tolist():
        image.xattrs(row)
        if image.stat(row).st_mode & 0o170000 == 0o120000:
            image.readlink(row)
        if image.stat(row).st_mode & 0o170000 == 0o100000:
            image.segments(row, 0, 1 << 20)


def blob_meta(data: bytes) -> None:
    """Chunk information of any kind: the first byte says which, the rest is what lies in the blob."""
    info, _ = _metas()[data[0] % len(_metas())] if data else _metas()[0]
    read_blob_meta(data[1:], info)


def blob_meta_array(data: bytes) -> None:
    """Chunk information behind its compression: mutation reaches each field of it, and each inflate context."""
    its, _ = _metas()[data[0] % len(_metas())] if data else _metas()[0]
    array, header = data[1:-4096], data[-4096:]
    sizes = {"meta_ci_compressed_size": len(array), "meta_ci_uncompressed_size": len(array)}
    info = replace(its, meta_ci_compressor=Compressor.NONE, cipher=Cipher.NONE, **sizes)
    meta = read_blob_meta(array + _told(header, info), info)
    check_meta(its, meta)
    contexts = inflate_contexts([info], [meta], blob_rows([info]))
    for row, context in list(contexts.items())[:4]:
        start, size = int(meta.compressed_offset[row]), min(int(meta.unit_size[row]), 1 << 20)
        stored = seeds.layer()[start : start + int(meta.compressed_size[row])]
        inflate_piece(context, memoryview(stored), memoryview(bytearray(size)))


def _told(header: bytes, info: BlobInfo) -> bytes:
    """The header with the sizes that are checked first."""
    record = np.frombuffer(header.ljust(META_HEADER.itemsize, b"\0")[: META_HEADER.itemsize], META_HEADER).copy()
    record["ci_entries"], record["ci_compressor"] = info.chunk_count, info.meta_ci_compressor
    record["ci_offset"] = info.meta_ci_offset
    record["ci_compressed_size"] = record["ci_uncompressed_size"] = info.meta_ci_uncompressed_size
    return record.tobytes()


def toc(data: bytes) -> None:
    """A table of contents, all that it names, and digests of chunks."""

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    contents = read_toc(read, len(data))
    info = _toc_info()
    for name, part in contents.parts.items() if contents else ():
        if part.size < 1 << 24:
            try:
                extract(read, name, part)
            except StorageError as error:
                assert error.message
    chunk_digests(read, len(data), info)


def tar(data: bytes) -> None:
    """A tar or a compressed one, to a tree."""
    file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    tree = TarTree(TarStream(plain_stream(file, "x"), "x"))
    for node, entry in tree.files():
        assert entry.size == node.size
    _check_tree(tree)


def tar_summed(data: bytes) -> None:
    """A tar whose checksums are put right, so that mutation reaches what they protect."""
    tar(with_sums(data))


def _check_tree(tree: TarTree) -> None:
    names = [child.name for child in tree.root.children]
    assert len(names) == len(set(names))
    assert b".." not in names and not any(b"/" in name for name in names)


def with_sums(data: bytes) -> bytes:
    """The same with the right checksum in each block that looks like a header."""
    out = bytearray(data)
    for at in range(0, len(out) - 511, 512):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def stargz(data: bytes) -> None:
    """A table of contents of a stargz layer, to an image of a layer that is elsewhere."""
    with Sink(io.BytesIO()) as sink:
        write_stargz_toc(data, "x", sink, 1 << 20, "0" * 64, 1 << 20)


def stargz_layer(data: bytes) -> None:
    """A stargz layer with its footer."""
    with Sink(io.BytesIO()) as sink:
        write_stargz(io.BytesIO(data), "x", sink, 1 << 20)


def layout(data: bytes) -> None:
    """A manifest, by its right digest, in an OCI layout with one layer."""
    folder = _layout()
    name = hashlib.sha256(data).hexdigest()
    place = folder / "blobs" / "sha256" / name
    place.write_bytes(data)
    descriptor = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{name}"}
    index = {"schemaVersion": 2, "manifests": [descriptor | {"size": len(data)}]}
    (folder / "index.json").write_text(json.dumps(index))
    try:
        LayeredTree(oci_layers(folder))
    finally:
        if data not in (seeds.layer(), *seeds.layouts()):
            place.unlink()


def index(data: bytes) -> None:
    """Any index of an OCI layout."""
    (_layout() / "index.json").write_bytes(data)
    oci_layers(_layout())


def docker(data: bytes) -> None:
    """A docker archive, its headers with the right checksums."""
    place = _scratch() / "archive"
    place.write_bytes(with_sums(data))
    LayeredTree(docker_layers(place))


@cache
def _metas() -> list[tuple[BlobInfo, bytes]]:
    return seeds.metas()


@cache
def _toc_info() -> BlobInfo:
    info, _ = _metas()[0]
    return replace(info, features=info.features | BlobFeatures.INLINED_CHUNK_DIGEST | BlobFeatures.HAS_TOC)


@cache
def _scratch() -> Path:
    folder = seeds.scratch()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _layout() -> Path:
    folder = _scratch() / "layout"
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    for blob in (seeds.layer(), *seeds.layouts()):
        (folder / "blobs" / "sha256" / hashlib.sha256(blob).hexdigest()).write_bytes(blob)
    return folder


def _index_seeds() -> list[bytes]:
    manifest = seeds.layouts()[0]
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    described = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": len(manifest)}
    platform = {"platform": {"os": "linux", "architecture": "amd64", "variant": "v8"}}
    return [json.dumps({"schemaVersion": 2, "manifests": [described | platform]}).encode()]


def _array_seeds() -> list[bytes]:
    """Plain arrays with their headers, behind the number of the kind."""
    found = []
    for number, (info, raw) in enumerate(_metas()):
        content = read_blob_meta(raw, info).content
        found.append(struct.pack("B", number) + content[: info.meta_ci_uncompressed_size] + content[-4096:])
    return found


TARGETS: dict[str, Target] = {
    "bootstrap-v5": Target(bootstrap, lambda: seeds.bootstraps(5)),
    "bootstrap-v6": Target(bootstrap, lambda: seeds.bootstraps(6)),
    "blob-meta": Target(
        blob_meta, lambda: [struct.pack("B", number) + raw for number, (_, raw) in enumerate(_metas())]
    ),
    "blob-meta-array": Target(blob_meta_array, _array_seeds),
    "toc": Target(toc, seeds.toc_blobs),
    "tar": Target(tar, lambda: [*seeds.tars(), seeds.layer()]),
    "tar-summed": Target(tar_summed, lambda: list(seeds.tars())),
    "stargz-toc": Target(stargz, seeds.stargz_tables),
    "stargz-layer": Target(stargz_layer, seeds.stargz_layers),
    "oci-index": Target(index, _index_seeds),
    "oci-manifest": Target(layout, seeds.layouts),
    "docker-archive": Target(docker, seeds.docker_archives),
}
