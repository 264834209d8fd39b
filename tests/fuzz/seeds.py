"""Small inputs of every format, made on the fly: what mutation starts from."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from storage.image import BlobInfo, blob_meta_span, open_bootstrap
from storage.image.build import TarTree, build, build_layer, open_tar
from storage.image.build._stargz_toc import find_toc

__all__ = [
    "bootstraps",
    "docker_archives",
    "layer",
    "layouts",
    "metas",
    "scratch",
    "stargz_layers",
    "stargz_tables",
    "tars",
    "toc_blobs",
]

FILES = {"a": b"alpha" * 900, "d/b": b"beta" * 40, "d/c": b"", "d/long-" + "x" * 90: b"z" * 5000}


def tar(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT, extra: bool = True) -> bytes:
    """A tar of these files, with links, a device, an xattr and a whiteout."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            if extra and form == tarfile.PAX_FORMAT:
                info.pax_headers = {"SCHILY.xattr.user.k": "value", "mtime": "12.5"}
            archive.addfile(info, io.BytesIO(data))
        kinds = ((tarfile.SYMTYPE, "s", "a"), (tarfile.LNKTYPE, "h", "a"), (tarfile.CHRTYPE, "dev", ""))
        for kind, name, target in kinds if extra else ():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
        if extra:
            archive.addfile(tarfile.TarInfo("d/.wh.c"))
    return out.getvalue()


@cache
def tars() -> tuple[bytes, ...]:
    """PAX, GNU and ustar."""
    short = {name: data for name, data in FILES.items() if len(name) < 50}
    return tar(FILES), tar(FILES, tarfile.GNU_FORMAT), tar(short, tarfile.USTAR_FORMAT)


@cache
def layer() -> bytes:
    """A gzip layer."""
    return gzip.compress(tar(FILES), mtime=0)


def _built(make: Callable[[Path, Path], Any]) -> dict[str, bytes]:
    """Whatever an image is made of, by name; ``bootstrap`` and blobs."""
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name, "layer"), Path(name, "image")
        source.write_bytes(layer())
        make(source, out)
        return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def _tree(source: Path, out: Path, **options: Any) -> None:
    with open_tar(source) as stream:
        build(TarTree(stream), out, **options)


_OPTIONS: dict[int, tuple[dict[str, Any], ...]] = {
    5: ({"version": 5}, {"version": 5, "compressor": "none", "digester": "sha256", "chunk_size": 4096}),
    6: (
        {},
        {"chunk_size": 4096, "compressor": "lz4_block"},
        {"batch_size": 1 << 16},
        {"encrypt": (bytes(range(32)), bytes(16))},
    ),
}


@cache
def _images(version: int) -> tuple[dict[str, bytes], ...]:
    return tuple(_built(lambda s, o, opts=opts: _tree(s, o, **opts)) for opts in _OPTIONS[version])  # type: ignore[misc]


@cache
def _zran(**options: bool) -> dict[str, bytes]:
    return _built(lambda s, o: build_layer(s, o, conversion="targz-ref", **options))


def bootstraps(version: int) -> list[bytes]:
    """Bootstraps of v5 or v6."""
    found = [image["bootstrap"] for image in _images(version)]
    return [*found, _zran()["bootstrap"]] if version == 6 else found


def metas() -> list[tuple[BlobInfo, bytes]]:
    """Each kind of ``blob.meta`` with the blob that it is of."""
    found = []
    for image in (*_images(6), _zran()):
        (info,) = open_bootstrap(image["bootstrap"]).infos
        offset, length = blob_meta_span(info)
        found.append((info, image[f"blobs/{info.blob_meta_id}"][offset : offset + length]))
    return found


def toc_blobs() -> list[bytes]:
    """Blobs that end with a table of contents, with and without a bootstrap."""
    images = [_built(lambda s, o, inline=inline: _tree(s, o, toc=True, inline=inline)) for inline in (False, True)]  # type: ignore[misc]
    inlined = _zran(inline=True, toc=True)
    blobs = [data for image in images for name, data in image.items() if name.startswith("blobs/")]
    return [*blobs, *(data for name, data in inlined.items() if name != f"blobs/{hashlib.sha256(layer()).hexdigest()}")]


def layouts() -> list[bytes]:
    """Manifests of OCI layouts whose layers are `layer`."""
    digest = f"sha256:{hashlib.sha256(layer()).hexdigest()}"
    described = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": len(layer())}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(layer())}
    manifest = {"schemaVersion": 2, "config": config, "layers": [described, described]}
    return [json.dumps(manifest).encode()]


def docker_archives() -> list[bytes]:
    """What ``docker save`` writes, old and new."""
    manifest = [{"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["l/layer.tar", "m/layer.tar"]}]
    files = {"c.json": b"{}", "l/layer.tar": tar({"x": b"1"}, extra=False), "m/layer.tar": layer()}
    return [tar(files | {"manifest.json": json.dumps(manifest).encode()}, extra=False)]


def stargz_layers() -> list[bytes]:
    """A stargz layer: each chunk in a gzip member of its own, then the table and the footer."""
    out, entries = b"", list[dict[str, Any]]()
    for name, data in FILES.items():
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        entry = {"name": name, "type": "reg", "size": len(data), "mode": 0o644, "modtime": "2020-01-01T00:00:00Z"}
        entries.append(entry | {"offset": len(out), "digest": digest, "chunkDigest": digest})
        out += gzip.compress(data, mtime=0) if data else b""
    entries += [
        {"name": "s", "type": "symlink", "linkName": "a", "xattrs": {"user.k": "dg=="}},
        {"name": "h", "type": "hardlink", "linkName": "a"},
        {"name": "c", "type": "char", "devMajor": 1, "devMinor": 3},
    ]
    table = json.dumps({"version": 1, "entries": entries}).encode()
    packed = gzip.compress(tar({"stargz.index.json": table}, extra=False), mtime=0)
    footer = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x1a\0SG\x16\0" + b"%016xSTARGZ" % len(out)
    return [out + packed + footer + b"\x01\0\0\xff\xff" + bytes(8)]


def stargz_tables() -> list[bytes]:
    """Their tables of contents."""
    found = [find_toc(io.BytesIO(layer), "x") for layer in stargz_layers()]
    return [table[0] for table in found if table is not None]


def scratch() -> Path:
    """A folder in memory, where there is one, that is the process's own."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if os.access(shared, os.W_OK) else None))
