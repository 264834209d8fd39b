"""Two images compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storage.image import open_image
from storage.image.build import build
from storage.image.verbs import diff


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
