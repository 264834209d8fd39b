"""The parts of a nydus image in an OCI layout: the bootstrap's layer, the config, the index with the image before.

Source: nydus-snapshotter ``pkg/converter/convert_unix.go``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.image.verbs._oci_layout import INDEX, Descriptor, blob_path, put
from storage.image.verbs._sources import SourceImage

__all__ = ["BLOB", "CONFIG", "SNAPSHOT", "UNCOMPRESSED", "bootstrap_layer", "new_config", "platform_of", "with_source"]

BLOB = "application/vnd.oci.image.layer.nydus.blob.v1"
CONFIG = "application/vnd.oci.image.config.v1+json"
SNAPSHOT = "containerd.io/snapshot/"
UNCOMPRESSED = "containerd.io/uncompressed"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_BOOTSTRAP_NAME = "image/image.boot"


def bootstrap_layer(out: Path, bootstrap: bytes, metas: Mapping[str, bytes], version: int) -> tuple[Descriptor, str]:
    """The layer of the bootstrap, the same for the same bootstrap, and the digest of its tar.

    Parameters
    ----------
    metas
        Each blob's ``blob.meta`` by the digest of the layer that holds it, in hex.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folder = tarfile.TarInfo("image")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name, content in ((_BOOTSTRAP_NAME, bootstrap), *((f"image/{k}.blob.meta", v) for k, v in metas.items())):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o444
            tar.addfile(member, io.BytesIO(content))
    diff_id = f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
    annotations = {
        SNAPSHOT + "nydus-bootstrap": "true",
        SNAPSHOT + "nydus-fs-version": str(version),
        UNCOMPRESSED: diff_id,
    }
    packed = gzip.compress(buffer.getvalue(), mtime=0)
    return put(out, packed, _LAYER, annotations=annotations), diff_id


def new_config(config: dict[str, Any], blobs: Sequence[Descriptor | None], bootstrap: str) -> dict[str, Any]:
    """The image's config with the new layers, and a history that counts them."""
    waiting = [blob["digest"] if blob else "" for blob in blobs]
    diff_ids: list[str] = []
    history: list[dict[str, Any]] = []
    before = config.get("history")
    for entry in before if isinstance(before, list) else ():
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


def platform_of(image: SourceImage) -> dict[str, Any]:
    """What the image is for, as the index or else the config says."""
    known = image.platform or image.config
    names = ("architecture", "os", "os.version", "variant")
    return {"architecture": "amd64", "os": "linux"} | {name: known[name] for name in names if name in known}


def with_source(source: Path, out: Path, image: SourceImage, made: Descriptor) -> Descriptor:
    """An index of the image before, whose blobs are put beside, and after."""
    for descriptor in image.descriptors:
        place = blob_path(out, descriptor["digest"])
        if not place.exists():
            shutil.copyfile(blob_path(source, descriptor["digest"]), place)
    before = {key: value for key, value in image.descriptors[0].items() if key != "annotations"}
    after = {key: value for key, value in made.items() if key != "annotations"}
    before.setdefault("platform", platform_of(image))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [before, after]}
    return put(out, index, INDEX, **({"annotations": image.tags} if image.tags else {}))
