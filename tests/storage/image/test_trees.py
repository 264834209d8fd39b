"""Random trees, built with random options and opened again: every attribute and every byte."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.events import Recorder, audit
from storage.factory import open_store
from storage.image import Image, open_image
from storage.image.build import build
from storage.testing.trees import Entry, build_options, entries, write_tree


def paths_below(root: bytes) -> dict[bytes, bytes]:
    """Every path of a directory, as an image has it, and on disk."""
    found = {b"/": root}
    for folder, names, files in os.walk(root):
        for name in names + files:
            place = os.path.join(folder, name)
            found[place[len(root) :]] = place
    return found


def attributes_on_disk(place: bytes) -> dict[str, object]:
    """What an image must know of a file; of a directory's links and size it has its own."""
    info = os.lstat(place)
    known: dict[str, object] = {
        "mode": info.st_mode,
        "uid": info.st_uid,
        "gid": info.st_gid,
        "mtime_ns": info.st_mtime_ns,
        "xattrs": {name: os.getxattr(place, name, follow_symlinks=False) for name in _listed(place)},
    }
    if stat.S_ISREG(info.st_mode):
        known |= {"size": info.st_size, "nlink": info.st_nlink}
    if stat.S_ISLNK(info.st_mode):
        known["target"] = os.readlink(place)
    if stat.S_ISDIR(info.st_mode):
        known["names"] = sorted(os.listdir(place))
    return known


def _listed(place: bytes) -> list[str]:
    try:
        return os.listxattr(place, follow_symlinks=False)
    except (OSError, AttributeError):
        return []


def attributes_in_image(image: Image, row: int) -> dict[str, object]:
    """The same, of the image."""
    info = image.stat(row)
    known: dict[str, object] = {
        "mode": info.st_mode,
        "uid": info.st_uid,
        "gid": info.st_gid,
        "mtime_ns": info.st_mtime_ns,
        "xattrs": image.xattrs(row),
    }
    if stat.S_ISREG(info.st_mode):
        known |= {"size": info.st_size, "nlink": info.st_nlink}
    if stat.S_ISLNK(info.st_mode):
        known["target"] = image.readlink(row)
    if stat.S_ISDIR(info.st_mode):
        known["names"] = sorted(name for name, _ in image.children(row))
    return known


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(wanted=entries(), options=build_options())
def test_every_attribute(wanted: list[Entry], options: dict[str, object]) -> None:
    """All that the directory had is in the image, and nothing else; the root's time alone is 0."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "tree")
        root.mkdir()
        write_tree(root, wanted)
        build(root, Path(name, "image"), **options)
        image = open_image(Path(name, "image"))
        expected = paths_below(os.fsencode(root))
        paths, rows = image.paths()
        assert sorted(paths) == sorted(expected)
        for path, row in zip(paths, rows.tolist(), strict=True):
            want = attributes_on_disk(expected[path])
            if path == b"/":
                want["mtime_ns"] = 0
            assert attributes_in_image(image, row) == want
            assert image.lookup(path) == row
        same = [len({os.lstat(expected[path]).st_ino for path in paths}), len(set(rows.tolist()))]
        assert same[0] == same[1]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    wanted=entries(),
    options=build_options(),
    plan=st.sampled_from(["exact", "reference"]),
    amplify_io=st.sampled_from([0, 5000, 1 << 20]),
    windows=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 200_000)), min_size=1, max_size=4),
)
def test_every_byte(
    wanted: list[Entry], options: dict[str, object], plan: str, amplify_io: int, windows: list[tuple[float, int]]
) -> None:
    """Parts of every file, and all of it, read through the store are the directory's; the books balance."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "tree")
        root.mkdir()
        write_tree(root, wanted)
        if not build(root, Path(name, "image"), **options).blob:
            return
        recorder, asked = Recorder(), 0
        cache = Path(name, "cache")
        store = open_store(Path(name, "image"), cache_dir=cache, plan=plan, amplify_io=amplify_io, recorder=recorder)
        with store as rafs:
            for path, place in paths_below(os.fsencode(root)).items():
                if not stat.S_ISREG(os.lstat(place).st_mode):
                    continue
                content = Path(os.fsdecode(place)).read_bytes()
                for where, length in windows:
                    offset = int(where * len(content))
                    assert rafs.read(path, offset, length) == content[offset : offset + length]
                    asked += len(content[offset : offset + length])
                assert rafs.read(path) == content
                asked += len(content)
        assert audit(recorder.table()).asked == asked


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(wanted=entries(), options=build_options())
def test_building_again(wanted: list[Entry], options: dict[str, object]) -> None:
    """The same directory gives the same image, whatever was built before."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "tree")
        root.mkdir()
        write_tree(root, wanted)
        one, two = (build(root, Path(name, out), **options) for out in ("one", "two"))
        assert one.bootstrap.read_bytes() == two.bootstrap.read_bytes()
        assert (one.blob and one.blob.name) == (two.blob and two.blob.name)
