"""One layer of an image, converted: stored anew, or left as it is with what it takes to read it at random.

Source: nydus-snapshotter ``pkg/converter``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from storage.errors import UnsupportedError
from storage.image._open import open_bootstrap, read_meta_of
from storage.image.build import TarTree, build, build_layer
from storage.image.verbs._oci_image import BLOB, SNAPSHOT, UNCOMPRESSED
from storage.image.verbs._oci_layout import Descriptor
from storage.image.verbs._sources import SourceLayer

__all__ = ["ConvertLayer", "ConvertedLayer", "blob_metas", "refer", "store_anew"]


class ConvertedLayer(NamedTuple):
    """A layer's bootstrap, and the layer that it became; None where it has no content."""

    bootstrap: Path
    blob: Descriptor | None


ConvertLayer = Callable[[SourceLayer, Path, Path], ConvertedLayer]


def store_anew(layer: SourceLayer, folder: Path, out: Path, options: dict[str, Any]) -> ConvertedLayer:
    """Build a layer in `folder`, and put its blob into the layout `out`."""
    with layer.open() as stream:
        built = build(TarTree(stream), folder, **options)
    if built.blob is None:
        return ConvertedLayer(built.bootstrap, None)
    return ConvertedLayer(built.bootstrap, _taken(built.blob, out, {})[0])


def refer(layer: SourceLayer, folder: Path, out: Path, chunk_size: int) -> ConvertedLayer:
    """Put beside a gzip layer a blob with its ``blob.meta``, bootstrap and table of contents.

    Raises
    ------
    UnsupportedError
        If it is not a gzip layer in a file of its own.
    """
    if layer.path is None or not _is_gzip(layer.path):
        raise UnsupportedError("only gzip layers of an OCI layout can stay as they are", path=layer.path)
    built = build_layer(
        layer.path, folder, conversion="targz-ref", chunk_size=chunk_size, inline=True, toc=True, take=False
    )
    annotations = {SNAPSHOT + "nydus-ref": f"sha256:{layer.path.name}"}
    blob, place = _taken(built.bootstrap, out, annotations)
    return ConvertedLayer(place, blob)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _taken(built: Path, out: Path, annotations: dict[str, str]) -> tuple[Descriptor, Path]:
    """A blob moved to the layout, under the SHA-256 of all its bytes."""
    with built.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()
    digest, size, place = f"sha256:{name}", built.stat().st_size, out / "blobs" / "sha256" / name
    os.replace(built, place)  # noqa: PTH105
    annotations = {SNAPSHOT + "nydus-blob": "true", UNCOMPRESSED: digest, **annotations}
    return {"mediaType": BLOB, "digest": digest, "size": size, "annotations": annotations}, place


def blob_metas(bootstrap: Path, out: Path) -> dict[str, bytes]:
    """Each blob's ``blob.meta`` as nydusd keeps it, by the name of the blob that holds it."""
    folder = out / "blobs" / "sha256"
    infos = open_bootstrap(bootstrap).infos
    return {info.blob_meta_id: read_meta_of(info, folder / info.blob_meta_id).content for info in infos}
