"""Reference images through every kind of cache: native, batch, encrypted and zran blobs, v5 and v6, tarfs aside."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from storage.config import parse_config
from storage.configured import open_configured
from storage.errors import UnsupportedError

IMAGES = ("v5-lz4", "v6-lz4", "v6-none", "v6-zran", "v6-zstd-batch", "v6-zstd-encrypt", "v6-zstd-inline-toc")
KEY = bytes(range(32)).hex()
KINDS: dict[str, dict[str, Any]] = {
    "dummycache": {"type": "dummycache"},
    "validated": {"validate": True},
    "compressed": {"compressed": True},
    "digested": {"filecache": {"disable_indexed_map": True}},
    "encrypted": {"filecache": {"enable_encryption": True, "encryption_key": KEY}},
    "convergent": {
        "filecache": {"enable_encryption": True, "encryption_key": KEY, "enable_convergent_encryption": True}
    },
}


def config_of(name: str, folder: Path, blobs: Path) -> Any:
    """A configuration of a kind of cache."""
    cache = {"type": "filecache"} | KINDS[name]
    if cache["type"] == "filecache":
        cache["filecache"] = cache.get("filecache", {}) | {"work_dir": str(folder)}
    backend = {"type": "localfs", "localfs": {"dir": str(blobs)}}
    return parse_config(json.dumps({"version": 2, "backend": backend, "cache": cache}), strict=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", IMAGES)
def test_every_file(image: str, kind: str, refs: Path, tmp_path: Path) -> None:
    """Every file is what the tree says, cold and after a restart.

    Chunks of v5 do not begin at pages, so its cache cannot be encrypted: that is refused by name.
    """
    blobs = refs / image / "blobs"
    place = refs / image / "bootstrap" if (refs / image / "bootstrap").is_file() else refs / image
    config = config_of(kind, tmp_path / "cache", blobs)
    tree = json.loads((refs / json.loads((refs / image / "ref.json").read_text())["tree"]).read_text())
    files = {bytes.fromhex(entry["path_hex"]): entry["sha256"] for entry in tree if entry["type"] == "reg"}
    assert len(files) > 50
    if image.startswith("v5") and kind in ("encrypted", "convergent"):
        with pytest.raises(UnsupportedError, match="do not begin at a page"):
            open_configured(place, config)
        return
    for _ in range(2):
        with open_configured(place, config) as rafs:
            for path, sha256 in files.items():
                assert hashlib.sha256(rafs.read(path)).hexdigest() == sha256, path


@pytest.mark.parametrize("image", IMAGES)
def test_raw_bytes(image: str, refs: Path, tmp_path: Path) -> None:
    """A compressed cache holds what the blob has, where the blob has it, in a file as long as the blob's data."""
    config = config_of("compressed", tmp_path, refs / image / "blobs")
    with open_configured(refs / image, config) as rafs:
        for path in ("/sizes/big.txt", "/app/bin/run"):
            rafs.read(path)
        chunks, (info,) = rafs.image.chunks, rafs.image.infos
        held = [row for row in range(len(chunks)) if rafs.cache.is_ready([row])]
    blob, raw = (path.read_bytes() for path in (refs / image / "blobs" / info.blob_id, *tmp_path.glob("*.blob.raw")))
    assert len(raw) == info.compressed_data_size >= int((chunks.compressed_offset + chunks.compressed_size).max())
    assert 0 < len(held) < len(chunks)
    for row in held:
        start = int(chunks.compressed_offset[row])
        end = start + int(chunks.compressed_size[row])
        assert raw[start:end] == blob[start:end], row
