"""The reference's v6 images, exported by us, in the hands of the kernel: the same tree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from storage.errors import UnsupportedError
from storage.image.verbs import export_block
from storage.testing.erofs import CannotMountError, mounted
from tests.interop.trees import compare_mounted


@pytest.mark.claim("kernel")
@pytest.mark.root
def test_kernel_shows_the_tree(v6_variant: Any, tmp_path: Path) -> None:
    """Every path, kind, attribute, xattr and byte, read through the kernel's driver."""
    place = tmp_path / "mounted"
    place.mkdir()
    try:
        made = export_block(v6_variant.folder, tmp_path / "block.erofs")
        with mounted(made.path, place):
            compare_mounted(os.fsencode(place), v6_variant)
    except UnsupportedError as refusal:
        pytest.skip(f"refused by name: {refusal.message}")
    except CannotMountError as reason:
        pytest.skip(str(reason))
