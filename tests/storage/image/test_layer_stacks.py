"""Random stacks of layers, whichever way they come: the image is what a plain overlay of them leaves."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import stat
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import StorageError
from storage.factory import open_store
from storage.fs import Rafs
from storage.image import open_image
from storage.image.build import build, build_layer
from storage.image.verbs import LayeredTree, check, docker_layers, oci_layers
from storage.testing.layers import File, Layer, layer_stacks, layer_tar, layers, member_place, overlaid
from storage.testing.oci import write_layout
from tests.fuzz.targets import with_sums
from tests.fuzz.test_seeded import mutated

SETTINGS = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
WAYS = ["oci", "docker"]


def write_archive(place: Path, tars: list[bytes]) -> None:
    """What ``docker save`` writes."""
    names = [f"{number:064x}/layer.tar" for number in range(len(tars))]
    files = dict(zip(names, tars, strict=True)) | {"manifest.json": json.dumps([{"Layers": names}]).encode()}
    with tarfile.open(place, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def layered(way: str, folder: Path, tars: list[bytes]) -> LayeredTree:
    """The tree of these layers, out of an OCI layout or a docker archive."""
    if way == "oci":
        write_layout(folder / "layout", tars)
        return LayeredTree(oci_layers(folder / "layout"))
    write_archive(folder / "archive.tar", tars)
    return LayeredTree(docker_layers(folder / "archive.tar"))


def expected(tree: dict[tuple[bytes, ...], File]) -> dict[bytes, dict[str, object]]:
    """What an image must know of each path."""
    links = Counter(map(id, tree.values()))
    found = {}
    for path, file in tree.items():
        known: dict[str, object] = {"mode": file.mode, "uid": file.uid, "gid": file.gid, "mtime": file.mtime}
        known |= {"xattrs": file.xattrs, "target": file.target, "content": file.content}
        known["rdev"] = os.makedev(*file.device) if stat.S_ISCHR(file.mode) else None
        known["nlink"] = links[id(file)] if stat.S_ISREG(file.mode) else None
        found[b"/" + b"/".join(path)] = known
    return found


def seen(rafs: Rafs) -> dict[bytes, dict[str, object]]:
    """What it knows."""
    image, found = rafs.image, {}
    for path, row in zip(*image.paths(), strict=True):
        info = image.stat(row)
        known: dict[str, object] = {"mode": info.st_mode, "uid": info.st_uid, "gid": info.st_gid}
        known |= {"mtime": info.st_mtime_ns / 10**9, "xattrs": image.xattrs(row)}
        known["target"] = image.readlink(row) if stat.S_ISLNK(info.st_mode) else b""
        known["content"] = rafs.read(int(row)) if stat.S_ISREG(info.st_mode) else b""
        known["rdev"] = info.st_rdev if stat.S_ISCHR(info.st_mode) else None
        known["nlink"] = info.st_nlink if stat.S_ISREG(info.st_mode) else None
        found[path] = known
    return found


@pytest.mark.parametrize("way", WAYS)
@SETTINGS
@given(stack=layer_stacks(), version=st.sampled_from([5, 6]))
def test_stack(way: str, stack: list[Layer], version: int) -> None:
    """Every path, attribute and byte is what shows of the stack, and nothing else is there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = layered(way, folder, [layer_tar(layer) for layer in stack])
        build(tree, folder / "image", version=version)
        with open_store(folder / "image", cache_dir=folder / "cache") as rafs:
            assert seen(rafs) == expected(overlaid(stack))


@pytest.mark.parametrize("conversion", ["tar-rafs", "targz-ref", "tar-tarfs"])
@SETTINGS
@given(layer=layers(max_size=25))
def test_one_tar(conversion: str, layer: Layer) -> None:
    """A tar alone has its whiteouts as files, for whoever merges it; so whether it is stored anew or stays as it is."""
    files = [
        member._replace(kind="reg", path=member_place(member), content=b"") if member.kind in _HIDING else member
        for member in layer.members
    ]
    with tempfile.TemporaryDirectory() as name:
        folder, tar = Path(name), layer_tar(layer)
        (folder / "layer").write_bytes(gzip.compress(tar) if conversion == "targz-ref" else tar)
        build_layer(folder / "layer", folder / "image", conversion=conversion)
        with open_store(folder / "image", cache_dir=folder / "cache") as rafs:
            assert seen(rafs) == expected(overlaid([Layer(layer.form, files)]))


_HIDING = ("whiteout", "opaque")


@pytest.mark.parametrize("way", WAYS)
@SETTINGS
@given(stack=layer_stacks(3), seed=st.integers(0, 1 << 32), summed=st.booleans())
def test_mutated(way: str, stack: list[Layer], seed: int, summed: bool) -> None:
    """Layers that were tampered with, and whose digests were put right, give a whole image or our error."""
    draw = random.Random(seed)
    tars = [mutated(draw, layer_tar(layer)) for layer in stack]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            tree = layered(way, folder, [with_sums(tar) if summed else tar for tar in tars])
            built = build(tree, folder / "image")
        except StorageError as error:
            assert error.message
            return
        assert check(built.bootstrap, folder / "image" / "blobs", deep=True).problems == ()
        names = [path.split(b"/") for path in open_image(built.bootstrap).paths()[0]]
        assert not any(part in (b".", b"..") for parts in names for part in parts)
