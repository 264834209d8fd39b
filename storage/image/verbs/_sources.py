"""Images that are converted: those of an OCI layout, or the one of a docker archive, in one form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from storage.errors import FormatError
from storage.image.build import open_tar
from storage.image.verbs._layers import Layer, docker_image, is_nydus
from storage.image.verbs._oci_layout import Descriptor, manifests, read_json, verified

__all__ = ["SourceImage", "SourceLayer", "source_images"]

_TAG = "org.opencontainers.image.ref.name"


class SourceLayer(NamedTuple):
    """A layer before: its size as stored, how it is opened as a tar, and where it lies alone in a file, if it does."""

    size: int
    open: Layer
    path: Path | None


@dataclass(frozen=True)
class SourceImage:
    """An image before.

    Attributes
    ----------
    digest
        Of its manifest; of its config in a docker archive, which has no manifest of that kind.
    config
        As it is in JSON.
    platform
        What the index says it is for, if it does.
    annotations, tags
        Of the manifest, and of the index's entry.
    descriptors
        All blobs of an image of a layout: the manifest first, then config and layers.
    """

    digest: str
    config: dict[str, Any]
    layers: tuple[SourceLayer, ...]
    platform: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    descriptors: tuple[Descriptor, ...] = ()


def source_images(source: Path) -> Iterator[SourceImage]:
    """All images of a layout, or that of an archive; what was converted before is left out.

    Raises
    ------
    FormatError, IntegrityError, UnsupportedError
        If it is neither, or a blob is not what its digest says.
    """
    if source.is_file():
        yield _of_archive(source)
        return
    for descriptor in manifests(source):
        if not is_nydus(descriptor):
            yield _of_layout(source, descriptor)


def _of_layout(layout: Path, descriptor: Descriptor) -> SourceImage:
    manifest = read_json(layout, descriptor)
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not layers:
        raise FormatError("the manifest has no layers", path=layout, field="layers")
    paths = [verified(layout, layer) for layer in layers]
    return SourceImage(
        digest=descriptor["digest"],
        config=read_json(layout, manifest.get("config", {})),
        layers=tuple(
            SourceLayer(layer["size"], partial(open_tar, path), path) for layer, path in zip(layers, paths, strict=True)
        ),
        platform=_dict_of(descriptor, "platform"),
        annotations=_dict_of(manifest, "annotations"),
        tags=_dict_of(descriptor, "annotations"),
        descriptors=(descriptor, manifest["config"], *layers),
    )


def _of_archive(archive: Path) -> SourceImage:
    image = docker_image(archive)
    if not image.layers:
        raise FormatError("the image has no layers", path=archive)
    layers = zip(image.layers, image.sizes, strict=True)
    return SourceImage(
        digest=image.digest,
        config=image.config,
        layers=tuple(SourceLayer(size, layer, None) for layer, size in layers),
        tags={_TAG: image.tag} if image.tag else {},
    )


def _dict_of(owner: dict[str, Any], name: str) -> dict[str, Any]:
    value = owner.get(name)
    return value if isinstance(value, dict) else {}
