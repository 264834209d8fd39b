"""Converting images of layers to nydus images, in an OCI layout.

Each layer with content becomes a data blob, and all of them share one more layer: a tar.gz
that holds the merged bootstrap as ``image/image.boot``, and each blob's ``blob.meta`` as nydusd
keeps it. A blob is named by its SHA-256, which is the layer's digest, so a registry serves it as it is.

Source: nydus-snapshotter ``pkg/converter``; nydus ``contrib/nydusify``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from storage.errors import ConfigError, FormatError
from storage.image.verbs._convert_layer import ConvertedLayer, ConvertLayer, blob_metas, refer, store_anew
from storage.image.verbs._layers import NYDUS_FEATURE
from storage.image.verbs._merge import merge
from storage.image.verbs._oci_image import CONFIG, bootstrap_layer, new_config, platform_of, with_source
from storage.image.verbs._oci_layout import INDEX, MANIFEST, Descriptor, put, start_layout
from storage.image.verbs._sources import SourceImage, source_images

__all__ = ["Converted", "convert"]


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
    oci_ref: bool = False,
    prefetch: Sequence[str] = (),
    progress: bool = False,
) -> list[Converted]:
    """Convert all images of an OCI layout, or the one of a docker archive.

    Parameters
    ----------
    source, out
        A folder or an archive, and a folder, which is made.
    compressor, digester, chunk_size, version
        See `storage.image.build.build`.
    oci_ref
        v6: whether gzip layers stay the data as they are, and only what is needed to read them at
        random is added; an index then has the image before and after.
    prefetch
        Paths of the prefetch table.
    progress
        Whether to show bars.

    Raises
    ------
    FormatError, IntegrityError
        If the source or a layer of it is broken.
    UnsupportedError
        If layers that are to stay as they are are not compressed by gzip.
    ConfigError
        If `out` cannot be written.
    """
    source, out = Path(source), Path(out)
    options = {"compressor": compressor, "digester": digester, "chunk_size": chunk_size, "version": version}
    if oci_ref and version != 6:
        raise ConfigError("gzip layers as they are are for RAFS v6", field="version")
    way = partial(refer, chunk_size=chunk_size) if oci_ref else partial(store_anew, options=options)
    try:
        start_layout(out)
        made, described = [], []
        for image in source_images(source):
            converted, new = _convert_one(image, out, way, version, prefetch, progress)
            made.append(converted)
            described.append(with_source(source, out, image, new) if oci_ref else new)
        if not made:
            raise FormatError("has nydus images only, which need no conversion", path=source)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": described}
        (out / "index.json").write_text(json.dumps(index, indent=1))
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return made


def _convert_one(
    image: SourceImage, out: Path, way: ConvertLayer, version: int, prefetch: Sequence[str], progress: bool
) -> tuple[Converted, Descriptor]:
    from tqdm.auto import tqdm  # late: starting need not wait for it

    hidden = None if progress else True
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
        layers: list[ConvertedLayer] = []
        for number, layer in enumerate(tqdm(image.layers, desc="convert", unit="layer", delay=2, disable=hidden)):
            layers.append(way(layer, Path(folder) / str(number), out))
        merged = merge([layer.bootstrap for layer in layers], Path(folder) / "image.boot", prefetch=prefetch)
        # Two layers of the same content are one blob.
        data_layers = list({layer.blob["digest"]: layer.blob for layer in layers if layer.blob}.values())
        metas = blob_metas(merged.bootstrap, out) if version == 6 else {}
        last, diff_id = bootstrap_layer(out, merged.bootstrap.read_bytes(), metas, version)
    new = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(out, new_config(image.config, [layer.blob for layer in layers], diff_id), CONFIG),
        "layers": [*data_layers, last],
        "annotations": {**image.annotations, "nydus.trace.source-digest": image.digest},
    }
    platform = platform_of(image)
    described = put(out, new, MANIFEST, platform={**platform, "os.features": [NYDUS_FEATURE]})
    if image.tags:
        described["annotations"] = image.tags
    return Converted(
        source=image.digest,
        manifest=described["digest"],
        platform="/".join(str(platform[key]) for key in ("os", "architecture", "variant") if key in platform),
        blobs=tuple(blob["digest"].removeprefix("sha256:") for blob in data_layers),
        source_bytes=sum(layer.size for layer in image.layers),
        blob_bytes=sum(blob["size"] for blob in data_layers),
        bootstrap_bytes=last["size"],
    ), described
