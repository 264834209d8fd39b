"""Two images compared, and the chunks that several share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storage.errors import ConfigError, FormatError
from storage.image import open_image
from storage.image.build import build
from storage.image.verbs import check, chunkdict, diff


@pytest.fixture
def changed(tree: Path, tmp_path: Path) -> Path:
    """An image of the tree after some changes."""
    copy = Path(shutil.copytree(tree, tmp_path / "tree", symlinks=True))
    (copy / "hard").unlink()
    (copy / "empty").unlink()
    (copy / "empty").mkdir()
    (copy / "lib" / "module_05.py").write_text("changed\n")
    (copy / "lib" / "module_06.py").chmod(0o600)
    (copy / "link").unlink()
    (copy / "link").symlink_to("lib/module_03.py")
    (copy / "zz_new").write_bytes(b"new" * 30_000)
    build(copy, tmp_path / "image", chunk_size=64 << 10)
    return tmp_path / "image"


def test_same(image_dir: Path) -> None:
    """An image does not differ from itself, and has no chunk of its own."""
    image = open_image(image_dir)
    found = diff(image, image)
    assert found.files.empty
    assert (found.own_chunks, found.shared_chunks) == (0, len(image.chunks))


def test_changes(image_dir: Path, changed: Path) -> None:
    """Each change is a row: what, and what it costs."""
    found = diff(open_image(image_dir), open_image(changed))
    changes = dict(zip(found.files["path"], found.files["change"], strict=True))
    wanted = {"/empty": "kind", "/hard": "removed", "/zz_new": "added", "/link": "content"}
    wanted |= {"/lib/module_05.py": "content", "/lib/module_06.py": "attributes"}
    assert {path: changes[path] for path in wanted} == wanted
    rows = found.files.set_index("path")
    assert (rows.loc["/zz_new", "after"], rows.loc["/zz_new", "new_chunks"]) == (90_000, 2)
    assert rows.loc["/lib/module_06.py", "new_bytes"] == 0
    assert found.own_chunks == int(rows["new_chunks"].sum()) == 3
    assert "new" in found._repr_html_()


def test_chunkdict(image_dir: Path, tree: Path, changed: Path, tmp_path: Path) -> None:
    """The dict has exactly the shared chunks; an image built against it stores none of them."""
    first, second = open_image(image_dir), open_image(changed)
    made = chunkdict([image_dir, changed], tmp_path / "dict.boot")
    shared = {row.tobytes() for row in first.chunks.digest} & {row.tobytes() for row in second.chunks.digest}
    assert made.chunks == len(shared)
    assert check(made.bootstrap, image_dir / "blobs", deep=True).ok
    built = build(tree, tmp_path / "built", chunk_size=64 << 10, chunk_dict=made.bootstrap)
    image = open_image(built.bootstrap, image_dir / "blobs")
    (own,) = [info for info in image.infos if info.blob_id not in made.blobs]
    assert own.chunk_count == len(first.chunks) - len(shared)
    everything = chunkdict([image_dir] * 2, tmp_path / "all.boot").bootstrap
    assert build(tree, tmp_path / "again", chunk_size=64 << 10, chunk_dict=everything).blob is None


def test_chunkdict_of_one(image_dir: Path, tmp_path: Path) -> None:
    """Chunks of one image only are in no dict unless that is asked for; no images are refused."""
    assert chunkdict([image_dir], tmp_path / "none.boot").chunks == 0
    made = chunkdict([image_dir], tmp_path / "all.boot", min_images=1)
    assert made.chunks == len(open_image(image_dir).chunks)
    assert check(made.bootstrap, image_dir / "blobs", deep=True).ok
    with pytest.raises(ConfigError):
        chunkdict([], tmp_path / "dict.boot")


def test_chunkdict_of_different_sizes(image_dir: Path, tree: Path, tmp_path: Path) -> None:
    """Images of other chunk sizes do not go together."""
    build(tree, tmp_path / "image", chunk_size=4096)
    with pytest.raises(FormatError, match="chunks of 4096 bytes"):
        chunkdict([image_dir, tmp_path / "image"], tmp_path / "dict.boot")
