"""Manifests and indexes (OCI image specification): which of them, and which of their layers, is the nydus image."""

from __future__ import annotations

import json
import platform
import re
from typing import Any, NamedTuple

from storage.errors import FormatError

__all__ = [
    "BOOTSTRAP_ANNOTATION",
    "MANIFEST_TYPES",
    "Descriptor",
    "bootstrap_layer",
    "choose_manifest",
    "descriptors_of",
    "is_index",
    "parse_manifest",
]

BOOTSTRAP_ANNOTATION = "containerd.io/snapshot/nydus-bootstrap"
_NYDUS_FEATURE = "nydus.remoteimage.v1"
_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_IMAGE_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
MANIFEST_TYPES = (*_IMAGE_TYPES, *_INDEX_TYPES)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


class Descriptor(NamedTuple):
    """A blob or a manifest, as another manifest names it."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str]
    platform: dict[str, Any]


def parse_manifest(content: bytes, where: str) -> dict[str, Any]:
    """A manifest or an index.

    Raises
    ------
    FormatError
        If it is neither; names `where` it is from.
    """
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError("a manifest is not JSON", path=where) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("manifests", manifest.get("layers")), list):
        raise FormatError("is neither a manifest nor an index", path=where)
    return manifest


def is_index(manifest: dict[str, Any]) -> bool:
    """Whether it is an index: a list of manifests."""
    return "manifests" in manifest


def descriptors_of(manifest: dict[str, Any], where: str) -> list[Descriptor]:
    """All that a manifest names: an index's manifests, or an image's config (if any) and layers, in order.

    Raises
    ------
    FormatError
        If an entry is no descriptor.
    """
    if is_index(manifest):
        entries = manifest["manifests"]
    else:
        entries = [*([manifest["config"]] if "config" in manifest else []), *manifest["layers"]]
    return [_descriptor(entry, where) for entry in entries]


def _descriptor(entry: Any, where: str) -> Descriptor:
    if not isinstance(entry, dict):
        raise FormatError("a descriptor is not an object", path=where)
    digest, size = entry.get("digest"), entry.get("size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise FormatError("a descriptor has no sha256 digest", path=where, field="digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise FormatError("a descriptor has no size", path=where, field="size")
    annotations, target = entry.get("annotations"), entry.get("platform")
    return Descriptor(
        str(entry.get("mediaType") or ""),
        digest,
        size,
        annotations if isinstance(annotations, dict) else {},
        target if isinstance(target, dict) else {},
    )


def choose_manifest(index: list[Descriptor], where: str, architecture: str = "") -> Descriptor:
    """The manifest of an index to open: a nydus one rather than another, of this machine rather than another.

    Raises
    ------
    FormatError
        If there is none.
    """
    wanted = architecture or _ARCHITECTURES.get(platform.machine(), platform.machine())
    images = [one for one in index if one.platform.get("os") != "unknown"]  # attestations are of no system
    if not images:
        raise FormatError("the index is empty", path=where)
    return min(images, key=lambda one: (not _is_nydus(one), one.platform.get("architecture", wanted) != wanted))


def _is_nydus(one: Descriptor) -> bool:
    features = one.platform.get("os.features")
    return isinstance(features, list) and _NYDUS_FEATURE in features


def bootstrap_layer(manifest: dict[str, Any], where: str) -> Descriptor:
    """The layer that holds the bootstrap.

    Raises
    ------
    FormatError
        If it is not a nydus image.
    """
    for one in reversed(descriptors_of(manifest, where)):
        if one.annotations.get(BOOTSTRAP_ANNOTATION) == "true":
            return one
    raise FormatError("is not a nydus image: no layer is a bootstrap", path=where, field=BOOTSTRAP_ANNOTATION)
