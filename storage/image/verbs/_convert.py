"""Converting the images of an OCI layout to nydus images, in an OCI layout.

Each layer with content becomes a data blob, and all of them share one more layer: a tar.gz
that holds the merged bootstrap as ``image/image.boot``. A blob is named by its SHA-256, which is
the layer's digest, so a registry serves it as it is.

Source: nydus-snapshotter ``pkg/converter``; nydus ``contrib/nydusify``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from storage.errors import ConfigError, FormatError
from storage.image.build import TarTree, build, open_tar
from storage.image.verbs._merge import merge
from storage.image.verbs._oci_layout import (
    INDEX,
    MANIFEST,
    Descriptor,
    manifests,
    put,
    read_json,
    start_layout,
    verified,
)

__all__ = ["Converted", "convert"]

_BLOB = "application/vnd.oci.image.layer.nydus.blob.v1"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_FEATURE = "nydus.remoteimage.v1"
_SNAPSHOT = "containerd.io/snapshot/"
_UNCOMPRESSED = "containerd.io/uncompressed"
_BOOTSTRAP_NAME = "image/image.boot"


@dataclass(frozen=True)
class Converted:
    """One image that was converted.

    Attributes
    ----------
    source, manifest
        Digests of the manifests before and after.
    platform
        As the source's index or config has it: ``linux/amd64``.
    blobs
        Ids of the data blobs, which are the SHA-256 of their layers.
    source_bytes, blob_bytes, bootstrap_bytes
        Bytes of the layers before; of the blobs, and of the bootstrap layer, after.
    """

    source: str
    manifest: str
    platform: str
    blobs: tuple[str, ...]
    source_bytes: int
    blob_bytes: int
    bootstrap_bytes: int


def convert(
    source: str | Path,
    out: str | Path,
    *,
    compressor: str = "zstd",
    digester: str = "blake3",
    chunk_size: int = 1 << 20,
    version: int = 6,
    prefetch: Sequence[str] = (),
    progress: bool = False,
) -> list[Converted]:
    """Convert all images of an OCI layout.

    Parameters
    ----------
    source, out
        Folders; `out` is made.
    compressor, digester, chunk_size, version
        See `storage.image.build.build`.
    prefetch
        Paths of the prefetch table.
    progress
        Whether to show bars.

    Raises
    ------
    FormatError, IntegrityError
        If the layout or a layer of it is broken.
    ConfigError
        If `out` cannot be written.
    """
    source, out = Path(source), Path(out)
    options = {"compressor": compressor, "digester": digester, "chunk_size": chunk_size, "version": version}
    try:
        start_layout(out)
        made, described = [], []
        for descriptor in manifests(source):
            converted, new = _convert_one(source, out, descriptor, options, prefetch, progress)
            made.append(converted)
            described.append(new)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": described}
        (out / "index.json").write_text(json.dumps(index, indent=1))
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return made


def _convert_one(
    source: Path,
    out: Path,
    descriptor: Descriptor,
    options: dict[str, Any],
    prefetch: Sequence[str],
    progress: bool,
) -> tuple[Converted, Descriptor]:
    manifest = read_json(source, descriptor)
    layers, config = _list_of(manifest, "layers", source), read_json(source, manifest.get("config", {}))
    if not layers:
        raise FormatError("the image has no layers", path=source)
    hidden = None if progress else True
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
        blobs: list[Descriptor | None] = []
        bootstraps: list[Path] = []
        for number, layer in enumerate(tqdm(layers, desc="convert", unit="layer", delay=2, disable=hidden)):
            bootstrap, blob = _convert_layer(verified(source, layer), Path(folder) / str(number), out, options)
            bootstraps.append(bootstrap)
            blobs.append(blob)
        merged = merge(bootstraps, Path(folder) / "image.boot", prefetch=prefetch)
        last, diff_id = _bootstrap_layer(out, merged.bootstrap.read_bytes(), options["version"])
    # Two layers of the same content are one blob.
    data_layers = list({blob["digest"]: blob for blob in blobs if blob}.values())
    new_config = _config(config, blobs, diff_id)
    new = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(out, new_config, _CONFIG),
        "layers": [*data_layers, last],
        "annotations": {**_dict_of(manifest, "annotations"), "nydus.trace.source-digest": descriptor["digest"]},
    }
    platform = _platform(descriptor, config)
    described = put(out, new, MANIFEST, platform={**platform, "os.features": [_FEATURE]})
    if annotations := _dict_of(descriptor, "annotations"):
        described["annotations"] = annotations
    return Converted(
        source=descriptor["digest"],
        manifest=described["digest"],
        platform="/".join(str(platform[key]) for key in ("os", "architecture", "variant") if key in platform),
        blobs=tuple(blob["digest"].removeprefix("sha256:") for blob in data_layers),
        source_bytes=sum(layer["size"] for layer in layers),
        blob_bytes=sum(blob["size"] for blob in data_layers),
        bootstrap_bytes=last["size"],
    ), described


def _convert_layer(path: Path, folder: Path, out: Path, options: dict[str, Any]) -> tuple[Path, Descriptor | None]:
    """A layer's bootstrap, and its data blob as a layer; None where it has no content."""
    with open_tar(path) as stream:
        built = build(TarTree(stream), folder, **options)
    if built.blob is None:
        return built.bootstrap, None
    digest, size = f"sha256:{_sha256(built.blob)}", built.blob.stat().st_size
    os.replace(built.blob, out / "blobs" / "sha256" / digest.removeprefix("sha256:"))  # noqa: PTH105
    annotations = {_SNAPSHOT + "nydus-blob": "true", _UNCOMPRESSED: digest}
    return built.bootstrap, {"mediaType": _BLOB, "digest": digest, "size": size, "annotations": annotations}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bootstrap_layer(out: Path, bootstrap: bytes, version: int) -> tuple[Descriptor, str]:
    """The layer of the bootstrap, the same for the same bootstrap, and the digest of its tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folder, member = tarfile.TarInfo("image"), tarfile.TarInfo(_BOOTSTRAP_NAME)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        member.size, member.mode = len(bootstrap), 0o444
        tar.addfile(member, io.BytesIO(bootstrap))
    diff_id = f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
    annotations = {
        _SNAPSHOT + "nydus-bootstrap": "true",
        _SNAPSHOT + "nydus-fs-version": str(version),
        _UNCOMPRESSED: diff_id,
    }
    packed = gzip.compress(buffer.getvalue(), mtime=0)
    return put(out, packed, _LAYER, annotations=annotations), diff_id


def _config(config: dict[str, Any], blobs: Sequence[Descriptor | None], bootstrap: str) -> dict[str, Any]:
    """The image's config with the new layers, and a history that counts them."""
    waiting = [blob["digest"] if blob else "" for blob in blobs]
    diff_ids: list[str] = []
    history: list[dict[str, Any]] = []
    for entry in _list_of(config, "history", None):
        entry = dict(entry) if isinstance(entry, dict) else {}
        if not entry.get("empty_layer"):
            digest = waiting.pop(0) if waiting else ""
            if not digest or digest in diff_ids:
                entry["empty_layer"] = True
            else:
                diff_ids.append(digest)
        history.append(entry)
    diff_ids += [digest for digest in dict.fromkeys(waiting) if digest and digest not in diff_ids]
    if history:
        history.append({"created_by": "nydus bootstrap", "comment": _BOOTSTRAP_NAME})
    rootfs = {"type": "layers", "diff_ids": [*diff_ids, bootstrap]}
    return {**config, "rootfs": rootfs, **({"history": history} if history else {})}


def _platform(descriptor: Descriptor, config: dict[str, Any]) -> dict[str, Any]:
    known = _dict_of(descriptor, "platform") or config
    names = ("architecture", "os", "os.version", "variant")
    return {"architecture": "amd64", "os": "linux"} | {name: known[name] for name in names if name in known}


def _dict_of(owner: dict[str, Any], name: str) -> dict[str, Any]:
    value = owner.get(name)
    return value if isinstance(value, dict) else {}


def _list_of(owner: dict[str, Any], name: str, path: Path | None) -> list[Any]:
    value = owner.get(name)
    if isinstance(value, list):
        return value
    if path is None:
        return []
    raise FormatError(f"the manifest has no {name}", path=path, field=name)
