"""From an OCI layout on disk to a registry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from storage.backend.http import Request
from storage.backend.registry import Registry, RegistryOptions
from storage.errors import FormatError, IntegrityError
from storage.oci._manifest import MANIFEST_TYPES, Descriptor, descriptors_of, is_index, parse_manifest
from storage.oci._reference import Reference, parse_reference
from storage.oci._upload import has_blob, upload
from storage.progress import progress_bar

__all__ = ["Pushed", "push"]

_MAX_MANIFEST = 4 << 20
_CHECK_PIECE = 1 << 20


@dataclass(frozen=True)
class Pushed:
    """What was pushed.

    Attributes
    ----------
    reference
        With the digest of its manifest or index.
    blobs, sent
        How many blobs it has, and bytes of those that the registry did not have.
    """

    reference: Reference
    blobs: int
    sent: int


def push(
    layout: str | Path,
    reference: str,
    *,
    progress: bool = False,
    **settings: Any,
) -> Pushed:
    """Push the image of an OCI layout: its blobs, those it has not yet, then its manifests, the tag last.

    Parameters
    ----------
    layout
        A folder with ``index.json`` and ``blobs/sha256``. If it holds several images, that of the reference's tag.
    reference
        Where to; it names a tag.
    progress
        Show a bar.
    **settings
        How to speak to the registry: ``scheme``, ``http`` and others of `RegistryOptions`.

    Raises
    ------
    FormatError, IntegrityError
        If the layout is none, or a blob in it is not what its name says.
    BackendError
        If the registry does not take it.
    """
    target = parse_reference(reference)
    if target.digest:
        raise FormatError("what is pushed gets a tag, not a digest", path=reference)
    files = _Layout(Path(layout))
    registry = Registry(RegistryOptions(target.host, target.repo, **settings))
    try:
        top = files.image(target.tag)
        manifests, blobs = files.walk(top)
        sent = _push_blobs(registry, files, blobs, progress)
        for one in manifests:
            _put_manifest(registry, files, one, one.digest)
        _put_manifest(registry, files, top, target.tag)
        return Pushed(Reference(target.host, target.repo, target.tag, top.digest), len(blobs), sent)
    finally:
        registry.close()


class _Layout:
    """An OCI layout on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def open(self, path: Path) -> IO[bytes]:
        try:
            return path.open("rb")
        except OSError as error:
            raise FormatError(f"the layout cannot be read: {error.strerror}", path=path) from error

    def manifest(self, path: Path) -> tuple[bytes, dict[str, Any]]:
        with self.open(path) as file:
            content = file.read(_MAX_MANIFEST + 1)
        if len(content) > _MAX_MANIFEST:
            raise FormatError("a manifest is too long", path=path)
        return content, parse_manifest(content, str(path))

    def image(self, tag: str) -> Descriptor:
        path = self.folder / "index.json"
        _, index = self.manifest(path)
        found = descriptors_of(index, str(path)) if is_index(index) else []
        if len(found) > 1:
            found = [one for one in found if one.annotations.get("org.opencontainers.image.ref.name") == tag]
        if len(found) != 1:
            raise FormatError(f"there is no one image in this layout that could be {tag!r}", path=path)
        return found[0]

    def walk(self, top: Descriptor) -> tuple[list[Descriptor], list[Descriptor]]:
        """The manifests below `top`, and all blobs, each once."""
        _, manifest = self.manifest(self.path(top.digest))
        below = descriptors_of(manifest, top.digest)
        if not is_index(manifest):
            return [], list({one.digest: one for one in below}.values())
        blobs: dict[str, Descriptor] = {}
        for one in below:
            _, inner = self.manifest(self.path(one.digest))
            if is_index(inner):
                raise FormatError("an index in an index is not pushed", path=self.path(one.digest))
            blobs |= {blob.digest: blob for blob in descriptors_of(inner, one.digest)}
        return below, list(blobs.values())


def _push_blobs(registry: Registry, files: _Layout, blobs: list[Descriptor], progress: bool) -> int:
    sent = 0
    total = sum(one.size for one in blobs)
    with progress_bar(progress, total, "push") as move:
        for one in blobs:
            if not has_blob(registry, one.digest):
                path = files.path(one.digest)
                with files.open(path) as file:
                    _check(file, one, path)
                    upload(registry, file, one)
                sent += one.size
            move(one.size)
    return sent


def _check(file: IO[bytes], one: Descriptor, path: Path) -> None:
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_CHECK_PIECE):
        digest.update(piece)
        size += len(piece)
    if f"sha256:{digest.hexdigest()}" != one.digest or size != one.size:
        raise IntegrityError("a blob of the layout is not what its name says", path=path)


def _put_manifest(registry: Registry, files: _Layout, one: Descriptor, name: str) -> None:
    content, manifest = files.manifest(files.path(one.digest))
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != one.digest:
        raise IntegrityError("a manifest of the layout is not what its name says", path=files.path(one.digest))
    media_type = str(manifest.get("mediaType") or one.media_type or MANIFEST_TYPES[0])
    request = Request("PUT", registry.url(f"manifests/{name}"), {"Content-Type": media_type}, content)
    request.where = {"manifest": name}
    registry.client.send(request, lambda response: None)
