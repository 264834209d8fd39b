"""From a reference to a folder with a bootstrap; the blobs stay where they are."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import zstandard

from storage.backend.http import HttpOptions, Request, Secret
from storage.backend.registry import Registry, RegistryOptions
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

__all__ = ["BACKEND_FILE", "Pulled", "fetch_manifest", "load_backend", "pull"]

BACKEND_FILE = "backend.json"
_MAX_MANIFEST = 4 << 20
_MAX_BOOTSTRAP = 4 << 30
_MEMBERS = ("image/image.boot", "image.boot")


@dataclass(frozen=True)
class Pulled:
    """An image of a registry, ready to be opened.

    Attributes
    ----------
    reference
        With the digest of the manifest that was chosen.
    folder
        Holds ``bootstrap``, and ``backend.json`` that says where the blobs are.
    fetched
        Bytes fetched for it.
    layers
        Bytes of all layers, which were not.
    """

    reference: Reference
    folder: Path
    fetched: int
    layers: int


def pull(reference: str, folder: str | Path, *, scheme: str = "", http: HttpOptions | None = None) -> Pulled:
    """Fetch an image's bootstrap, so that the folder can be opened; see `storage.factory.open_store`.

    Parameters
    ----------
    reference
        Of an image, or of an index with one.
    folder
        Made if it is not there.
    scheme, http
        See `RegistryOptions`.

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
    registry = Registry(RegistryOptions(asked.host, asked.repo, scheme=scheme, http=http or HttpOptions()))
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
        partial = folder / "bootstrap.partial"
        with tempfile.TemporaryFile() as archive, partial.open("wb") as out:
            _fetch(registry, layer, archive)
            _unpack(archive, out, asked)
        partial.replace(folder / "bootstrap")
        (folder / BACKEND_FILE).write_text(json.dumps(_config_of(registry), indent=2) + "\n")
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


def _unpack(archive: IO[bytes], out: IO[bytes], asked: Reference) -> None:
    """Write the bootstrap, which is in a tar: compressed or not."""
    try:
        with _plain(archive) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
            for member in tar:
                if member.name.removeprefix("./") in _MEMBERS and member.isfile():
                    if member.size > _MAX_BOOTSTRAP:
                        raise FormatError("the bootstrap is too large", path=asked, field=member.name)
                    _copy(tar, member, out)
                    return
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise FormatError(f"the bootstrap's layer is not a tar: {error}", path=asked) from error
    raise FormatError("the bootstrap's layer has no image/image.boot", path=asked)


def _plain(archive: IO[bytes]) -> Any:
    magic = archive.read(4)
    archive.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=archive)
    if magic == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(archive, closefd=False)
    return archive


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, out: IO[bytes]) -> None:
    source = tar.extractfile(member)
    assert source is not None
    while piece := source.read(1 << 20):
        out.write(piece)


def _config_of(registry: Registry) -> dict[str, Any]:
    """The registry as nydusd's configuration names it, without secrets."""
    options = registry.options
    known = {
        "scheme": registry.client.home.split(":", 1)[0],
        "host": options.host,
        "repo": options.repo,
        "skip_verify": options.http.skip_verify,
        "ca_cert_files": list(options.http.ca_cert_files),
    }
    return {"type": "registry", "registry": known}


def load_backend(path: Path, recorder: Recorder | None = None) -> Registry:
    """The backend of a folder that `pull` made.

    Raises
    ------
    ConfigError
        If the file does not say one.
    """
    try:
        said = json.loads(path.read_bytes())["registry"]
        http = HttpOptions(
            skip_verify=bool(said.get("skip_verify")), ca_cert_files=tuple(map(str, said.get("ca_cert_files", ())))
        )
        auth = Secret(str(said.get("auth") or ""))
        options = RegistryOptions(str(said["host"]), str(said["repo"]), str(said.get("scheme", "")), auth, http=http)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError("does not say where the blobs are", path=path) from error
    return Registry(options, recorder)
