"""Tables about one image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from workbench import layout


def test_where(hand_made: Any) -> None:
    """Each piece of each file, with its place in the blob; a shared chunk is first where it is first used."""
    frame = layout.where(hand_made)
    assert frame["path"].tolist() == [
        "lib/app/big.so", "lib/app/big.so", "lib/app/one.py", "lib/copy.py", "lib/data/table.bin",
    ]  # fmt: skip
    assert frame["directory"].tolist() == ["app", "app", "app", layout.TOP, "data"]
    assert frame["extension"].tolist() == [".so", ".so", ".py", ".py", ".bin"]
    assert frame["first"].tolist() == [True, True, True, False, True]
    assert frame["compressed_offset"].tolist() == [0, 400, 600, 600, 0]
    assert frame["blob"].tolist() == [0, 0, 0, 0, 1]


def test_directories(hand_made: Any) -> None:
    """Sizes by directory; a shared chunk is stored once."""
    frame = layout.directories(hand_made)
    assert frame.index.tolist() == ["data", "app", layout.TOP]
    assert frame["files"].tolist() == [1, 2, 1]
    assert frame["bytes"].tolist() == [4000, 1800, 300]
    assert frame["chunks"].tolist() == [1, 3, 0]
    assert frame["stored"].tolist() == [3000, 700, 0]
    assert frame["ratio"].tolist()[:2] == pytest.approx([4 / 3, 18 / 7])


def test_extensions(hand_made: Any) -> None:
    """The same by extension."""
    frame = layout.extensions(hand_made)
    assert frame["bytes"].to_dict() == {".bin": 4000, ".so": 1500, ".py": 600}


def test_duplicates(hand_made: Any) -> None:
    """Only what is used twice, and what that saves."""
    frame = layout.duplicates(hand_made)
    assert frame.to_dict("index") == {2: {"uses": 2, "size": 300, "saved": 300, "path": "lib/app/one.py"}}


def test_blobs(hand_made: Any) -> None:
    """Chunks that no file uses are told apart; the ratio is of all chunks."""
    frame = layout.blobs(hand_made)
    assert frame["chunks"].tolist() == [3, 2]
    assert frame["unused"].tolist() == [0, 1]
    assert frame["stored"].tolist() == [700, 3050]
    assert frame["ratio"].tolist() == pytest.approx([18 / 7, 4060 / 3050])


def test_chunk_sizes(hand_made: Any) -> None:
    """Powers of two; a size that is one falls into its own class."""
    frame = layout.chunk_sizes(hand_made)
    assert frame["chunks"].to_dict() == {64: 1, 512: 2, 1024: 1, 4096: 1}
    assert frame["bytes"].sum() == 5860
    assert frame["stored"].sum() == 3750


def test_owners(hand_made: Any) -> None:
    """By chunk, the directory that first uses it; none where no file does."""
    assert layout.owners(hand_made).fillna("nobody").tolist() == ["app", "app", "app", "data", "nobody"]


def test_names_that_are_not_text(hand_made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in bytes that are not UTF-8 are kept apart from each other, and rows still match."""
    paths = [b"/", b"/\xff/a", b"/\xfe/b", b"/c", b"/d", b"/e"]
    monkeypatch.setattr(type(hand_made), "paths", lambda self: (paths, np.array([0, 1, 2, 3, 4, 4])))
    assert layout.where(hand_made)["directory"].nunique() == 3
