"""From a reference to a folder with a bootstrap; the blobs stay where they are."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import zstandard

from storage.backend import MeteredBackend
from storage.backend.http import MirrorOptions, Request
from storage.backend.registry import Registry, RegistryOptions
from storage.config import parse_config, read_external
from storage.errors import BackendError, ConfigError, FormatError, IntegrityError
from storage.events import Recorder
from storage.oci._manifest import (
    MANIFEST_TYPES,
    Descriptor,
    bootstrap_layer,
    choose_manifest,
    descriptors_of,
    is_index,
    parse_manifest,
)
from storage.oci._reference import Reference, parse_reference
from storage.openers import open_backend

__all__ = ["BACKEND_FILE", "REGISTRY_FILE", "Pulled", "fetch_manifest", "load_backend", "pull"]

BACKEND_FILE = "backend.json"
"""Beside a bootstrap: what the image says of its external blobs; in its layer under the same name."""
REGISTRY_FILE = "registry.json"
"""Beside a bootstrap that was pulled: which registry it came from."""
_MAX_MANIFEST = 4 << 20
_MAX_BOOTSTRAP = 4 << 30
_MAX_HEADERS = 16 << 20
_MAX_BACKEND = 4 << 20
_BOOTSTRAPS = ("image/image.boot", "image.boot")
_BACKENDS = (f"image/{BACKEND_FILE}", BACKEND_FILE)


@dataclass(frozen=True)
class Pulled:
    """An image of a registry, ready to be opened.

    Attributes
    ----------
    reference
        With the digest of the manifest that was chosen.
    folder
        Holds ``bootstrap``, ``registry.json`` that says where the blobs are, and ``backend.json`` if the image keeps
        some elsewhere.
    fetched
        Bytes fetched for it.
    layers
        Bytes of all layers, which were not.
    """

    reference: Reference
    folder: Path
    fetched: int
    layers: int


def pull(reference: str, folder: str | Path, **settings: Any) -> Pulled:
    """Fetch an image's bootstrap, so that the folder can be opened; see `storage.factory.open_store`.

    Parameters
    ----------
    reference
        Of an image, or of an index with one.
    folder
        Made if it is not there.
    **settings
        How to speak to the registry: ``scheme``, ``http`` and others of `RegistryOptions`.

    Raises
    ------
    FormatError, IntegrityError
        If it is not a nydus image, or not what its digest says.
    BackendError
        If the registry does not have it, or does not give it.
    ConfigError
        If the reference is none.
    """
    asked = parse_reference(reference)
    registry = Registry(RegistryOptions(asked.host, asked.repo, **settings))
    try:
        content, digest = fetch_manifest(registry, asked.name)
        manifest, fetched = parse_manifest(content, str(asked)), len(content)
        if is_index(manifest):
            digest = choose_manifest(descriptors_of(manifest, str(asked)), str(asked)).digest
            content, _ = fetch_manifest(registry, digest)
            manifest, fetched = parse_manifest(content, str(asked)), fetched + len(content)
        layer = bootstrap_layer(manifest, str(asked))
        _save(registry, layer, Path(folder), asked)
        layers = descriptors_of(manifest, str(asked))
        sizes = sum(one.size for one in layers)
        return Pulled(replace(asked, digest=digest), Path(folder), fetched + layer.size, sizes)
    finally:
        registry.close()


def fetch_manifest(registry: Registry, name: str) -> tuple[bytes, str]:
    """A manifest by tag or digest, and its digest.

    Raises
    ------
    IntegrityError
        If it is not what its digest says.
    """
    url = registry.url(f"manifests/{name}")
    request = Request("GET", url, {"Accept": ", ".join(MANIFEST_TYPES)}, expected=(200,), where={"manifest": name})
    content = registry.client.send(request, lambda response: response.read(_MAX_MANIFEST))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if name.startswith("sha256:") and name != digest:
        raise IntegrityError("a manifest is not what its digest says", url=url, digest=digest)
    return content, digest


def _save(registry: Registry, layer: Descriptor, folder: Path, asked: Reference) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as name, tempfile.TemporaryFile() as archive:
            partial = Path(name)
            _fetch(registry, layer, archive)
            _unpack(archive, partial, asked)
            (partial / REGISTRY_FILE).write_text(json.dumps(_config_of(registry), indent=2) + "\n")
            (folder / BACKEND_FILE).unlink(missing_ok=True)  # of another image that was pulled here
            for file in partial.iterdir():
                file.replace(folder / file.name)
    except OSError as error:
        raise ConfigError(f"the folder cannot be written: {error.strerror}", path=folder) from error


def _fetch(registry: Registry, layer: Descriptor, out: IO[bytes]) -> None:
    digest = hashlib.sha256()

    def write(piece: memoryview) -> None:
        digest.update(piece)
        out.write(piece)
        if out.tell() > layer.size:
            raise BackendError("the blob is longer than its descriptor says", blob=layer.digest)

    registry.get_reader(layer.digest).copy_to(write)
    if f"sha256:{digest.hexdigest()}" != layer.digest:
        raise IntegrityError("a layer is not what its digest says", blob=layer.digest)
    out.seek(0)


class _Bounded:
    """A stream of which not more than `left` bytes may be read: headers that are long are kept in memory."""

    def __init__(self, inner: Any) -> None:
        self.left = _MAX_HEADERS
        self._inner = inner

    def read(self, size: int) -> bytes:
        piece: bytes = self._inner.read(size)
        self.left -= len(piece)
        if self.left < 0:
            raise FormatError("the headers of the bootstrap's layer are too long")
        return piece


def _unpack(archive: IO[bytes], folder: Path, asked: Reference) -> None:
    """Write the bootstrap, which is in a tar, compressed or not; and what is there of external blobs."""
    wanted = dict.fromkeys(_BOOTSTRAPS, ("bootstrap", _MAX_BOOTSTRAP))
    wanted |= dict.fromkeys(_BACKENDS, (BACKEND_FILE, _MAX_BACKEND))
    try:
        with _plain(archive) as plain:
            bounded: Any = _Bounded(plain)
            with tarfile.open(fileobj=bounded, mode="r|") as tar:
                for member in tar:
                    bounded.left = member.size + _MAX_HEADERS
                    name, limit = wanted.get(member.name.removeprefix("./"), ("", 0))
                    if name and member.isfile():
                        if member.size > limit:
                            raise FormatError("a file of the bootstrap's layer is too large", field=member.name)
                        _copy(tar, member, folder / name)
        if not (folder / "bootstrap").exists():
            raise FormatError("the bootstrap's layer has no image/image.boot")
        read_external(folder / BACKEND_FILE)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise FormatError(f"the bootstrap's layer is not a tar: {error}", path=asked) from error
    except FormatError as error:
        raise FormatError(error.message, **error.where, path=asked) from None
    except ConfigError as error:
        raise FormatError(f"the image's {BACKEND_FILE} {error.message}", path=asked) from error


def _plain(archive: IO[bytes]) -> Any:
    magic = archive.read(4)
    archive.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=archive)
    if magic == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(archive, closefd=False)
    return archive


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None
    with path.open("wb") as out:
        while piece := source.read(1 << 20):
            out.write(piece)


def _config_of(registry: Registry) -> dict[str, Any]:
    """The registry as a configuration's section `backend` names it, without secrets."""
    options, http = registry.options, registry.options.http
    known: dict[str, Any] = {
        "scheme": registry.client.home.split(":", 1)[0],
        "host": options.host,
        "repo": options.repo,
        "skip_verify": http.skip_verify,
        "ca_cert_files": [str(Path(path).absolute()) for path in http.ca_cert_files],
        "timeout": math.ceil(http.timeout),
        "connect_timeout": math.ceil(http.connect_timeout),
        "retry_limit": http.retry_limit,
        "mirrors": [_mirror_of(mirror) for mirror in http.mirrors],
    }
    if http.proxy.url:
        known["proxy"] = _whole(vars(http.proxy)) | {"url": _without_user(http.proxy.url)}
    return {"type": "registry", "registry": known}


def _mirror_of(mirror: MirrorOptions) -> dict[str, Any]:
    shown = {name: value for name, value in vars(mirror).items() if name != "headers"}
    return _whole(shown) | {"host": _without_user(mirror.host)}


def _whole(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table as configurations have it: seconds without fractions."""
    return {name: math.ceil(value) if isinstance(value, float) else value for name, value in table.items()}


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def load_backend(path: Path, recorder: Recorder | None = None) -> MeteredBackend | None:
    """The backend of a folder that `pull` made, as it was then but for secrets; None if the folder is none of these.

    Raises
    ------
    ConfigError
        If the file is broken.
    """
    try:
        content = path.read_bytes()
        said = json.loads(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("does not say where the blobs are", path=path) from error
    try:
        backend = parse_config(json.dumps({"version": 2, "backend": said}), strict=True).backend
    except ConfigError as error:
        raise ConfigError(f"does not say where the blobs are: {error}", path=path) from error
    assert backend is not None
    return open_backend(backend, recorder)
