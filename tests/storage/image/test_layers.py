"""Images of layers, from OCI layouts and docker archives: one tree, built as one image."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import FormatError, StorageError
from storage.factory import open_store
from storage.image.build import build, guess_conversion
from storage.image.verbs import LayeredTree, docker_layers, oci_layers

LAYERS: tuple[dict[str, bytes | None], ...] = (
    {"etc": None, "etc/a": b"one" * 2000, "etc/b": b"two", "gone": b"gone", "opaque": None, "opaque/x": b"x"},
    {"etc/.wh.b": b"", ".wh.gone": b"", "etc/a": b"three" * 900, "opaque/.wh..wh..opq": b"", "opaque/y": b"y"},
    {"new/file": b"four", "etc/b": b"five"},
)
MERGED = {"etc/a": b"three" * 900, "etc/b": b"five", "opaque/y": b"y", "new/file": b"four"}
PACKS = (("+gzip", gzip.compress), ("+zstd", zstandard.compress), ("", bytes))


def tar_of(files: dict[str, bytes | None]) -> bytes:
    """A tar of files; None makes a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.type, info.size = (tarfile.DIRTYPE, 0) if data is None else (tarfile.REGTYPE, len(data))
            tar.addfile(info, io.BytesIO(data or b""))
    return out.getvalue()


def put(layout: Path, data: bytes, **more: object) -> dict[str, Any]:
    """A blob of the layout; its descriptor."""
    name = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs" / "sha256" / name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data), **more}


def make_layout(layout: Path, platforms: tuple[str, ...] = ("amd64",), packs: Any = PACKS) -> Path:
    """An OCI layout with an image of the layers for each platform, each layer compressed in another way."""
    found = []
    for arch in platforms:
        tars = [tar_of(files) for files in ({"arch": arch.encode()} | LAYERS[0], *LAYERS[1:])]
        layers = [
            put(layout, pack(tar), mediaType=f"application/vnd.oci.image.layer.v1.tar{suffix}")
            for tar, (suffix, pack) in zip(tars, packs, strict=True)
        ]
        diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
        config = {"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        described = put(layout, json.dumps(config).encode(), mediaType="application/vnd.oci.image.config.v1+json")
        manifest = {"schemaVersion": 2, "config": described, "layers": layers}
        kind = "application/vnd.oci.image.manifest.v1+json"
        platform = {"os": "linux", "architecture": arch}
        found.append(put(layout, json.dumps(manifest).encode(), mediaType=kind, platform=platform))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": found}))
    return layout


def contents(image: Path, cache: Path) -> dict[str, bytes]:
    """Every file of an image."""
    with open_store(image, cache_dir=cache) as rafs:
        paths, rows = rafs.image.paths()
        regular = [
            (path, row) for path, row in zip(paths, rows, strict=True) if rafs.image.stat(row).st_mode >> 12 == 8
        ]
        return {path[1:].decode(): rafs.read(int(row)) for path, row in regular}


def test_one_tree(tmp_path: Path) -> None:
    """Whiteouts and opaque folders hide what is below; what hides is not shown, whatever layers are compressed with."""
    layout = make_layout(tmp_path / "layout")
    assert guess_conversion(layout) == "oci"
    build(LayeredTree(oci_layers(layout)), tmp_path / "image")
    assert contents(tmp_path / "image", tmp_path / "cache") == MERGED | {"arch": b"amd64"}


def test_platform(tmp_path: Path) -> None:
    """Of several images the platform's is taken; without one, the error names them."""
    layout = make_layout(tmp_path / "layout", ("amd64", "arm64"))
    build(LayeredTree(oci_layers(layout, "linux/arm64")), tmp_path / "image")
    assert contents(tmp_path / "image", tmp_path / "cache")["arch"] == b"arm64"
    with pytest.raises(FormatError, match=r"2 images for any platform: linux/amd64, linux/arm64"):
        oci_layers(layout)
    with pytest.raises(FormatError, match="0 images for linux/s390x"):
        oci_layers(layout, "linux/s390x")


def test_one_name_is_left(tmp_path: Path) -> None:
    """A file keeps its content when the name that it came by is hidden, and another name is not."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("first")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"12345"))
        link = tarfile.TarInfo("second")
        link.type, link.linkname = tarfile.LNKTYPE, "first"
        tar.addfile(link)
    layout = make_layout(tmp_path / "layout")
    kind = "application/vnd.oci.image.layer.v1.tar"
    layers = [put(layout, out.getvalue(), mediaType=kind), put(layout, tar_of({".wh.first": b""}), mediaType=kind)]
    manifest = put(
        layout, json.dumps({"layers": layers}).encode(), mediaType="application/vnd.oci.image.manifest.v1+json"
    )
    (layout / "index.json").write_text(json.dumps({"manifests": [manifest]}))
    build(LayeredTree(oci_layers(layout)), tmp_path / "image")
    assert contents(tmp_path / "image", tmp_path / "cache") == {"second": b"12345"}


def make_archive(path: Path) -> Path:
    """What ``docker save`` writes."""
    out: dict[str, bytes | None] = {f"{n:064x}/layer.tar": tar_of(files) for n, files in enumerate(LAYERS)}
    out["manifest.json"] = json.dumps([{"Config": "c.json", "Layers": [*out]}]).encode()
    path.write_bytes(tar_of(out))
    return path


def test_docker_archive(tmp_path: Path) -> None:
    """A docker archive gives the same tree."""
    archive = make_archive(tmp_path / "image.tar")
    assert guess_conversion(archive) == "docker"
    build(LayeredTree(docker_layers(archive)), tmp_path / "image")
    assert contents(tmp_path / "image", tmp_path / "cache") == MERGED


def test_skopeo_agrees(tmp_path: Path) -> None:
    """A docker archive that skopeo makes of the layout gives the same tree."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    layout = make_layout(tmp_path / "layout", packs=(PACKS[0], PACKS[2], PACKS[0]))  # docker images have no zstd
    done = subprocess.run(
        ["skopeo", "copy", "--insecure-policy", f"oci:{layout}", f"docker-archive:{tmp_path}/a.tar:x:y"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    build(LayeredTree(docker_layers(tmp_path / "a.tar")), tmp_path / "image")
    assert contents(tmp_path / "image", tmp_path / "cache") == MERGED | {"arch": b"amd64"}


@pytest.mark.parametrize(
    ("index", "complaint"),
    [
        ({"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json"}]}, "has no"),
        ({"manifests": [{"mediaType": "m", "digest": "sha256:../../etc", "size": 1}]}, "no image manifest"),
        ({"manifests": 7}, "has no manifests"),
        ([], "not a JSON object"),
    ],
)
def test_hostile_index(index: object, complaint: str, tmp_path: Path) -> None:
    """An index that is none is refused by name."""
    layout = make_layout(tmp_path / "layout")
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(FormatError, match=complaint):
        oci_layers(layout)


def test_another_layer(tmp_path: Path) -> None:
    """A layer that is not what its digest says is refused."""
    layout = make_layout(tmp_path / "layout")
    largest = max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(bytes(largest.stat().st_size))
    with pytest.raises(StorageError, match="not what its digest says"):
        oci_layers(layout)


@settings(max_examples=100, deadline=2000)
@given(data=st.data())
def test_mutated_archive(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any bytes changed anywhere in an archive give its tree or our error, soon."""
    path = tmp_path_factory.getbasetemp() / "mutated.tar"
    content = bytearray(make_archive(path).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert LayeredTree(docker_layers(path)).root.is_dir
    except StorageError as error:
        assert error.message
