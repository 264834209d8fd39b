"""OCI images as nydus images: what snapshotters look for, what skopeo carries, and the merged tree."""

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

from storage.errors import FormatError, IntegrityError, UnsupportedError
from storage.factory import open_store
from storage.image.verbs import check, convert
from storage.testing.oci import layer, write_layout

LAYERS = [
    {"etc": None, "etc/a": b"first\n" * 3000, "etc/gone": b"x", "lib": None, "lib/d": None, "lib/d/x": b"1"},
    {"l": "etc/a", "etc/.wh.gone": b"", "lib/d/.wh..wh..opq": b""},
    {"lib/d": None, "lib/d/y": b"first\n" * 3000, "new": bytes(range(256)) * 500},
    {"again": bytes(range(256)) * 500, "big": bytes(3 << 20)},
]
SHOWN = {
    "/etc/a": b"first\n" * 3000,
    "/lib/d/y": b"first\n" * 3000,
    "/new": bytes(range(256)) * 500,
    "/again": bytes(range(256)) * 500,
    "/big": bytes(3 << 20),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout of four layers, one of them without content."""
    folder = tmp_path_factory.mktemp("source") / "layout"
    write_layout(folder, [layer(files) for files in LAYERS], tag="v1")
    return folder


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a nydus image."""
    folder = tmp_path_factory.mktemp("made") / "layout"
    (converted,) = convert(source, folder)
    assert converted.platform == "linux/arm64"
    assert len(converted.blobs) == 3
    return folder


def loaded(layout: Path, descriptor: dict[str, Any]) -> Any:
    """A JSON blob, checked against its descriptor."""
    data = (layout / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
    assert (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") == (descriptor["size"], descriptor["digest"])
    return json.loads(data)


def manifest_of(layout: Path) -> Any:
    """The one manifest."""
    (descriptor,) = json.loads((layout / "index.json").read_text())["manifests"]
    return loaded(layout, descriptor)


def unpacked(layout: Path, folder: Path) -> Path:
    """The bootstrap layer extracted, as a snapshotter does, with blobs by their id beside."""
    last = manifest_of(layout)["layers"][-1]
    data = gzip.decompress((layout / "blobs" / "sha256" / last["digest"].removeprefix("sha256:")).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "image" / "image.boot"


def test_manifest(source: Path, made: Path) -> None:
    """Media types and annotations are those that nydus-snapshotter looks for; counts agree."""
    (descriptor,) = json.loads((made / "index.json").read_text())["manifests"]
    assert descriptor["platform"]["os.features"] == ["nydus.remoteimage.v1"]
    assert descriptor["annotations"] == {"org.opencontainers.image.ref.name": "v1"}
    manifest = manifest_of(made)
    *blobs, bootstrap = manifest["layers"]
    for blob in blobs:
        assert blob["mediaType"] == "application/vnd.oci.image.layer.nydus.blob.v1"
        assert blob["annotations"] == {
            "containerd.io/snapshot/nydus-blob": "true",
            "containerd.io/uncompressed": blob["digest"],
        }
        content = (made / "blobs" / "sha256" / blob["digest"].removeprefix("sha256:")).read_bytes()
        assert (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}") == (blob["size"], blob["digest"])
    assert bootstrap["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert bootstrap["annotations"]["containerd.io/snapshot/nydus-bootstrap"] == "true"
    assert bootstrap["annotations"]["containerd.io/snapshot/nydus-fs-version"] == "6"
    config, before = loaded(made, manifest["config"]), loaded(source, manifest_of(source)["config"])
    wanted = [layer["annotations"]["containerd.io/uncompressed"] for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == wanted
    assert sum(not entry.get("empty_layer") for entry in config["history"]) == len(wanted)
    assert (config["config"], config["architecture"]) == (before["config"], before["architecture"])


def test_tree(made: Path, tmp_path: Path) -> None:
    """The bootstrap, unpacked and mounted over blobs named by digest, shows the merged layers."""
    bootstrap = unpacked(made, tmp_path / "layer")
    blobs = made / "blobs" / "sha256"
    assert check(bootstrap, blobs, deep=True).ok
    with open_store(bootstrap, blobs, cache_dir=tmp_path / "cache") as rafs:
        paths = {path.decode() for path in rafs.image.paths()[0]}
        assert paths == {*SHOWN, "/", "/etc", "/lib", "/lib/d", "/l"}
        assert {path: rafs.read(path) for path in SHOWN} == SHOWN


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_repeatable(source: Path, made: Path, tmp_path: Path) -> None:
    """Converted again, every byte is the same."""
    convert(source, tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(made)


@pytest.mark.parametrize("target", ["oci", "dir"])
def test_skopeo_copies_it(target: str, made: Path, tmp_path: Path) -> None:
    """``skopeo copy`` takes the image over, layers as they are."""
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("no skopeo")
    command = [skopeo, "--insecure-policy", "copy", f"oci:{made}:v1", f"{target}:{tmp_path / 'copy'}"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    if target == "dir":
        copied = json.loads((tmp_path / "copy" / "manifest.json").read_text())
    else:
        copied = manifest_of(tmp_path / "copy")
    assert copied["layers"] == manifest_of(made)["layers"]


@pytest.mark.parametrize("digest", ["sha256:../../../../etc/passwd", "md5:00", "sha256:" + "0" * 64, 7])
def test_hostile_digests(digest: object, source: Path, tmp_path: Path) -> None:
    """A digest that is a path, of another kind, or of nothing is refused."""
    copy = Path(shutil.copytree(source, tmp_path / "source"))
    index = json.loads((copy / "index.json").read_text())
    index["manifests"][0]["digest"] = digest
    (copy / "index.json").write_text(json.dumps(index))
    with pytest.raises(FormatError):
        convert(copy, tmp_path / "out")


def test_spoilt_layer(source: Path, tmp_path: Path) -> None:
    """A layer whose bytes are not its digest's is refused by name."""
    copy = Path(shutil.copytree(source, tmp_path / "source"))
    spoilt = copy / "blobs" / "sha256" / manifest_of(copy)["layers"][2]["digest"].removeprefix("sha256:")
    data = bytearray(spoilt.read_bytes())
    data[20] ^= 1
    spoilt.write_bytes(data)
    with pytest.raises(IntegrityError, match="digest") as caught:
        convert(copy, tmp_path / "out")
    assert spoilt.name in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"manifests": 3}', '{"manifests": []}', "[" * 100_000])
def test_hostile_index(content: str, source: Path, tmp_path: Path) -> None:
    """What is no index is refused, with its path."""
    copy = Path(shutil.copytree(source, tmp_path / "source"))
    (copy / "index.json").write_text(content)
    with pytest.raises(FormatError, match=r"JSON|manifest"):
        convert(copy, tmp_path / "out")


def test_not_a_layout(tmp_path: Path) -> None:
    """Neither a folder of anything, nor a layout of another version."""
    with pytest.raises(FormatError, match="not an OCI image layout"):
        convert(tmp_path, tmp_path / "out")
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    with pytest.raises(UnsupportedError, match="version"):
        convert(tmp_path, tmp_path / "out")
