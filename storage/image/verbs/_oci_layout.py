"""An OCI image layout: a folder of blobs by digest, and an index. Whatever is read is checked against its digest.

Source: OCI image-spec ``image-layout.md``, ``descriptor.md``, ``manifest.md``.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from storage.errors import FormatError, IntegrityError, UnsupportedError

__all__ = ["INDEX", "MANIFEST", "Descriptor", "blob_path", "manifests", "put", "read_json", "start_layout", "verified"]

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEXES = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_JSON = 8 << 20
_MAX_DEPTH = 4
_READ = 1 << 20

Descriptor = dict[str, Any]


def blob_path(layout: Path, digest: str) -> Path:
    """Where a blob of this digest lies.

    Raises
    ------
    FormatError
        If it is no SHA-256 digest, so that no path is made of it.
    """
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise FormatError(f"{str(digest)[:80]!r} is not a sha256 digest", path=layout, field="digest")
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def verified(layout: Path, descriptor: Descriptor) -> Path:
    """The file of a descriptor, of the size and the digest that it says.

    Raises
    ------
    FormatError, IntegrityError
        If it is not there, or is another.
    """
    path = blob_path(layout, _field(layout, descriptor, "digest", str))
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while data := file.read(_READ):
                digest.update(data)
                size += len(data)
    except OSError as error:
        raise FormatError(f"a blob of the layout cannot be read: {error.strerror}", path=path) from error
    if size != _field(layout, descriptor, "size", int):
        raise IntegrityError(f"a blob is {size} bytes long, its descriptor says {descriptor['size']}", path=path)
    if f"sha256:{digest.hexdigest()}" != descriptor["digest"]:
        raise IntegrityError("a blob is not what its digest says", path=path)
    return path


def read_json(layout: Path, descriptor: Descriptor) -> dict[str, Any]:
    """A JSON object that a descriptor names.

    Raises
    ------
    FormatError, IntegrityError
        If it is none, or not what its digest says.
    """
    if _field(layout, descriptor, "size", int) > _MAX_JSON:
        raise FormatError(f"{descriptor['size']} bytes are too many for a manifest", path=layout, field="size")
    return _object(verified(layout, descriptor))


def manifests(layout: Path) -> list[Descriptor]:
    """Descriptors of all image manifests of a layout, those in nested indexes too.

    Raises
    ------
    FormatError, UnsupportedError
        If it is not a layout, or has none.
    """
    version = _object(layout / "oci-layout").get("imageLayoutVersion")
    if version != "1.0.0":
        raise UnsupportedError(f"is an OCI layout of version {version!r}", path=layout)
    found: list[Descriptor] = []
    pending = [(_object(layout / "index.json"), 0)]
    while pending:
        index, depth = pending.pop()
        for descriptor in _field(layout, index, "manifests", list):
            kind = _field(layout, descriptor, "mediaType", str)
            if kind in _MANIFESTS:
                found.append(descriptor)
            elif kind in _INDEXES and depth < _MAX_DEPTH:
                pending.append((read_json(layout, descriptor), depth + 1))
    if not found:
        raise FormatError("the layout has no image manifest", path=layout)
    return found


def start_layout(layout: Path) -> None:
    """Make the folders and the marker of a layout."""
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def put(layout: Path, content: bytes | dict[str, Any], media_type: str, **more: object) -> Descriptor:
    """Put a blob into a layout; returns its descriptor, with `more` in it."""
    data = content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blob_path(layout, digest).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data), **more}


def _object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON:
            raise FormatError("is too large for JSON of a layout", path=path)
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise FormatError(f"is not an OCI image layout: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"is not JSON: {error}", path=path) from error
    if not isinstance(found, dict):
        raise FormatError("is not a JSON object", path=path)
    return found


def _field(layout: Path, owner: object, name: str, kind: type) -> Any:
    value = owner.get(name) if isinstance(owner, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FormatError(f"has no {name}", path=layout, field=name)
    return value
