"""OCI layouts that hold a nydus image, made by hand from a built one."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

__all__ = ["nydus_layout"]

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


def _put(folder: Path, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs" / "sha256" / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}


def _bootstrap_tar(content: bytes, compressed: bool, external: str) -> bytes:
    out = io.BytesIO()
    files = [("image", b""), ("image/image.boot", content)]
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in [*files, ("image/backend.json", external.encode())] if external else files:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if not body else tarfile.REGTYPE
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return gzip.compress(out.getvalue(), mtime=0) if compressed else out.getvalue()


def nydus_layout(
    image: Path, folder: Path, *, indexed: bool = False, compressed: bool = True, external: str = ""
) -> str:
    """Make a layout of an image built by `storage.image.build`; the digest of what its index names.

    Parameters
    ----------
    indexed
        Put the manifest in an index, after one of another system.
    external
        What the image says of its external blobs, in a ``backend.json`` beside the bootstrap.
    """
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    layers, diffs = [], []
    for blob in sorted((image / "blobs").iterdir()):
        shutil.copy(blob, folder / "blobs" / "sha256" / blob.name)
        notes = {"containerd.io/snapshot/nydus-blob": "true"}
        layers.append(
            {
                "mediaType": "application/vnd.oci.image.layer.nydus.blob.v1",
                "digest": f"sha256:{blob.name}",
                "size": blob.stat().st_size,
                "annotations": notes,
            }
        )
        diffs.append(f"sha256:{blob.name}")
    content = (image / "bootstrap").read_bytes()
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compressed else "")
    notes = {"containerd.io/snapshot/nydus-bootstrap": "true", "containerd.io/snapshot/nydus-fs-version": "6"}
    layers.append(_put(folder, _bootstrap_tar(content, compressed, external), kind, annotations=notes))
    diffs.append("sha256:" + hashlib.sha256(_bootstrap_tar(content, False, external)).hexdigest())
    rootfs = {"type": "layers", "diff_ids": diffs}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _put(folder, config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers,
    }
    top = _put(folder, json.dumps(manifest).encode(), _MANIFEST)
    if indexed:
        plain = {**manifest, "layers": []}
        other = _put(folder, json.dumps(plain).encode(), _MANIFEST)
        nydus = {"architecture": "amd64", "os": "linux", "os.features": ["nydus.remoteimage.v1"]}
        entries = [{**other, "platform": {"architecture": "amd64", "os": "linux"}}, {**top, "platform": nydus}]
        top = _put(folder, json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}).encode(), _INDEX)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return str(top["digest"])
