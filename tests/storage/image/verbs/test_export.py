"""Images for the kernel: its EROFS driver shows the tree, and other tools agree about the bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from storage.errors import FormatError, UnsupportedError
from storage.factory import open_store
from storage.image import open_image
from storage.image._ondisk import DEVICE_TABLE_OFFSET
from storage.image.build import build
from storage.image.verbs import block_map, export_block, export_devices
from storage.testing.erofs import CannotMountError, mounted


def contents(root: Path) -> dict[str, object]:
    """What is below a directory: bytes of files, targets of links, None for folders."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def needed(command: str) -> str:
    """A command, or the test is skipped."""
    found = shutil.which(command, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin")
    if found is None:
        pytest.skip(f"no {command}")
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to mount on."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    return folder


@pytest.mark.root
@pytest.mark.parametrize("compressor", ["none", "lz4_block", "zstd"])
def test_kernel_mounts_the_block_image(compressor: str, tree: Path, place: Path, tmp_path: Path) -> None:
    """The block image, mounted without devices, has every file and byte of the tree."""
    build(tree, tmp_path / "image", compressor=compressor, chunk_size=64 << 10)
    made = export_block(tmp_path / "image", tmp_path / "block.erofs", verity=compressor == "zstd")
    try:
        with mounted(made.path, place):
            assert contents(place) == contents(tree)
    except CannotMountError as reason:
        pytest.skip(str(reason))


@pytest.mark.root
def test_kernel_mounts_the_devices(tree: Path, image_dir: Path, place: Path, tmp_path: Path) -> None:
    """The bootstrap, mounted with its uncompressed blob as device, has every file and byte of the tree."""
    bootstrap, *devices = export_devices(image_dir, tmp_path / "devices")
    try:
        with mounted(bootstrap, place, devices):
            assert contents(place) == contents(tree)
    except CannotMountError as reason:
        pytest.skip(str(reason))


def test_device_is_the_cache_file(image_dir: Path, tmp_path: Path) -> None:
    """An exported blob is what the store's cache file is once it holds everything."""
    _, device = export_devices(image_dir, tmp_path / "devices")
    with open_store(image_dir, cache_dir=tmp_path / "cache") as rafs:
        rafs.prefetch(range(len(rafs.image.chunks)))
        rafs.drain()
    (cached,) = (tmp_path / "cache").glob("*.blob.data")
    assert device.name == cached.name
    assert device.read_bytes() == cached.read_bytes()


def test_block_image_is_bootstrap_and_blob(image_dir: Path, tmp_path: Path) -> None:
    """The bootstrap lies at the start, and the uncompressed blob where its slot maps it; nothing between."""
    bootstrap, device = export_devices(image_dir, tmp_path / "devices")
    made = export_block(image_dir, tmp_path / "block.erofs")
    (mapped,) = block_map(open_image(image_dir))
    whole, start = made.path.read_bytes(), bootstrap.read_bytes()
    assert made.size == len(whole) == mapped.offset + mapped.size
    assert whole[: len(start)] == start
    assert not any(whole[len(start) : mapped.offset])
    assert whole[mapped.offset :] == device.read_bytes()
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize("tool", [["fsck.erofs"], ["dump.erofs", "-s"]])
def test_erofs_utils_accept_it(tool: list[str], image_dir: Path, tmp_path: Path) -> None:
    """``fsck.erofs`` and ``dump.erofs`` find nothing wrong, with bootstrap or block image as the first device."""
    command = [needed(tool[0]), *tool[1:]]
    bootstrap, device = export_devices(image_dir, tmp_path / "devices")
    block = export_block(image_dir, tmp_path / "block.erofs").path
    for first in (bootstrap, block):
        run = subprocess.run([*command, f"--device={device}", str(first)], capture_output=True, text=True)
        if "unrecognized option" in run.stderr:
            pytest.skip(f"this {tool[0]} takes no devices")
        assert run.returncode == 0, run.stdout + run.stderr


def test_verity(image_dir: Path, tmp_path: Path) -> None:
    """``veritysetup verify`` follows the hash tree to the root, and no longer once a bit has changed."""
    command = needed("veritysetup")
    made = export_block(image_dir, tmp_path / "block.erofs", verity=True)
    assert made.verity is not None
    arguments = [command, "verify", *made.verity.arguments(), str(made.path), str(made.path), made.verity.root]
    run = subprocess.run(arguments, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    with made.path.open("r+b") as file:
        file.seek(made.size - 4096)
        byte = file.read(1)
        file.seek(made.size - 4096)
        file.write(bytes([byte[0] ^ 1]))
    assert subprocess.run(arguments, capture_output=True).returncode != 0


def test_v5_is_refused(tree: Path, tmp_path: Path) -> None:
    """A v5 image is no block image, and it is said so."""
    build(tree, tmp_path / "image", version=5)
    with pytest.raises(UnsupportedError, match="v5"):
        export_block(tmp_path / "image", tmp_path / "block.erofs")
    assert not (tmp_path / "block.erofs").exists()


@pytest.mark.parametrize("block", [0, 1, 0xFFFF_FFFF])
def test_hostile_mapping(block: int, image_dir: Path, tmp_path: Path) -> None:
    """A slot that maps a blob over the bootstrap, or past what a device can have, is refused before writing."""
    copy = Path(shutil.copytree(image_dir, tmp_path / "image"))
    with (copy / "bootstrap").open("r+b") as file:
        file.seek(DEVICE_TABLE_OFFSET + 68)
        file.write(block.to_bytes(4, "little"))
    with pytest.raises(FormatError, match="mapped"):
        export_block(copy, tmp_path / "block.erofs")
    assert not (tmp_path / "block.erofs").exists()
