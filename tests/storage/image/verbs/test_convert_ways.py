"""Other ways to convert: docker archives, and gzip layers that stay as they are."""

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

from storage.errors import ConfigError, FormatError, UnsupportedError
from storage.factory import open_store
from storage.image import open_bootstrap
from storage.image.verbs import LayeredTree, check, convert, oci_layers
from storage.testing.oci import layer, write_layout

LAYERS = [
    layer({"etc": None, "etc/a": b"first\n" * 3000, "etc/gone": b"x", "s": "etc/a"}),
    layer({"etc/.wh.gone": b"", "none": None}),
    layer({"etc/b": bytes(range(256)) * 5000}),
]
SHOWN = {"/etc/a": b"first\n" * 3000, "/etc/b": bytes(range(256)) * 5000}
CONFIG = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "history": [{"created_by": "x"}] * 3}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout of gzip layers, the second of which has no content."""
    folder = tmp_path_factory.mktemp("source") / "layout"
    write_layout(folder, LAYERS, tag="v1")
    return folder


def archive(place: Path, manifest: Any = None, pack: Any = bytes) -> Path:
    """What ``docker save`` writes of the layers."""
    members = {"c.json": json.dumps(CONFIG).encode()}
    members |= {f"{number}/layer.tar": pack(data) for number, data in enumerate(LAYERS)}
    described = [{"Config": "c.json", "RepoTags": ["app:v7"], "Layers": [f"{n}/layer.tar" for n in range(len(LAYERS))]}]
    members["manifest.json"] = json.dumps(described if manifest is None else manifest).encode()
    with tarfile.open(place, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return place


def blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    """A blob, checked against its descriptor."""
    data = (layout / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")).read_bytes()
    assert (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") == (descriptor["size"], descriptor["digest"])
    return data


def shows_the_tree(layout: Path, manifest: dict[str, Any], folder: Path) -> None:
    """The bootstrap's layer, extracted, and the layout's blobs are the merged tree; metas are those of the blobs."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layout, manifest["layers"][-1])))) as tar:
        tar.extractall(folder, filter="data")
    bootstrap, blobs = folder / "image" / "image.boot", layout / "blobs" / "sha256"
    report = check(bootstrap, blobs, deep=True)
    assert report.ok, report.problems
    with open_store(bootstrap, blobs, cache_dir=folder / "cache") as rafs:
        assert {path: rafs.read(path) for path in SHOWN} == SHOWN
        assert {path.decode() for path in rafs.image.paths()[0]} == {*SHOWN, "/", "/etc", "/s", "/none"}
    for info in open_bootstrap(bootstrap).infos:
        told = folder / "image" / f"{info.blob_meta_id}.blob.meta"
        assert told.read_bytes() == (folder / "cache" / f"{info.blob_id}.blob.meta").read_bytes()


def test_docker_archive(tmp_path: Path) -> None:
    """What ``docker save`` writes becomes a nydus image with its config, its tag and its tree."""
    (made,) = convert(archive(tmp_path / "app.tar"), tmp_path / "out")
    assert (made.platform, len(made.blobs)) == ("linux/amd64", 2)
    assert made.source == f"sha256:{hashlib.sha256(json.dumps(CONFIG).encode()).hexdigest()}"
    (entry,) = json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "v7"}
    manifest = json.loads(blob(tmp_path / "out", entry))
    assert json.loads(blob(tmp_path / "out", manifest["config"]))["config"] == CONFIG["config"]
    shows_the_tree(tmp_path / "out", manifest, tmp_path / "layer")


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {},
        [{"Config": "c.json"}],
        [{"Config": "../c.json", "Layers": []}],
        [{"Config": "c.json", "Layers": []}],
        [{"Config": "c.json", "Layers": ["/etc/passwd"]}],
        [{"Config": "c.json", "Layers": ["c.json"]}],
        [{"Config": 5, "Layers": ["0/layer.tar"]}],
        [{"Config": "0/layer.tar", "Layers": ["0/layer.tar"]}],
    ],
)
def test_hostile_archives(manifest: Any, tmp_path: Path) -> None:
    """An archive whose manifest names what is not there, or what is something else, is refused."""
    with pytest.raises(FormatError):
        convert(archive(tmp_path / "app.tar", manifest), tmp_path / "out")


def test_by_reference(source: Path, tmp_path: Path) -> None:
    """Gzip layers stay as they are: an index has the image before and after, whose blobs are small."""
    (made,) = convert(source, tmp_path / "out", oci_ref=True)
    (entry,) = json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "v1"}
    before, after = json.loads(blob(tmp_path / "out", entry))["manifests"]
    assert after["platform"]["os.features"] == ["nydus.remoteimage.v1"]
    assert "os.features" not in before["platform"]
    original, manifest = (json.loads(blob(tmp_path / "out", one)) for one in (before, after))
    assert original == json.loads(blob(source, before))
    *blobs, last = manifest["layers"]
    for one, its in zip(blobs, original["layers"], strict=True):
        assert one["mediaType"] == "application/vnd.oci.image.layer.nydus.blob.v1"
        assert one["annotations"]["containerd.io/snapshot/nydus-ref"] == its["digest"]
        assert blob(tmp_path / "out", one) != blob(tmp_path / "out", its)
    assert last["annotations"]["containerd.io/snapshot/nydus-bootstrap"] == "true"
    assert made.blobs == tuple(one["digest"].removeprefix("sha256:") for one in blobs)
    shows_the_tree(tmp_path / "out", manifest, tmp_path / "layer")


def test_of_what_was_converted(source: Path, tmp_path: Path) -> None:
    """The image before is found beside the one after: it can be converted, or built as one, again."""
    convert(source, tmp_path / "out", oci_ref=True)
    assert len(convert(tmp_path / "out", tmp_path / "again")) == 1
    tree = LayeredTree(oci_layers(tmp_path / "out"))
    assert [child.name for child in tree.root.children] == [b"etc", b"none", b"s"]
    with pytest.raises(FormatError, match="need no conversion"):
        convert(tmp_path / "again", tmp_path / "third")


def test_skopeo_copies_both(source: Path, tmp_path: Path) -> None:
    """``skopeo copy --all`` takes the index over, layers as they are."""
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("no skopeo")
    convert(source, tmp_path / "out", oci_ref=True)
    words = ["--insecure-policy", "copy", "--all", f"oci:{tmp_path / 'out'}:v1", f"oci:{tmp_path / 'copy'}:v1"]
    run = subprocess.run([skopeo, *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for path in (tmp_path / "out" / "blobs" / "sha256").iterdir():
        assert (tmp_path / "copy" / "blobs" / "sha256" / path.name).read_bytes() == path.read_bytes()


def test_not_by_reference(source: Path, tmp_path: Path) -> None:
    """Layers of an archive, and RAFS v5, cannot leave layers as they are."""
    with pytest.raises(UnsupportedError, match="only gzip layers"):
        convert(archive(tmp_path / "app.tar"), tmp_path / "out", oci_ref=True)
    with pytest.raises(ConfigError, match="RAFS v6"):
        convert(source, tmp_path / "out", oci_ref=True, version=5)
