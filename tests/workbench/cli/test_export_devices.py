"""`workbench export --devices` says how its files are mounted and checked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from workbench.cli._main import group

import workbench.cli._unpack  # noqa: F401  isort: skip  (registers the verb)


def test_fsck_as_it_is_told(image_dir: Path, tmp_path: Path) -> None:
    """The command that is printed checks the image; without its --device= nothing can be read."""
    words = ["export", str(image_dir), "-o", str(tmp_path / "devices"), "--devices"]
    mount, fsck = CliRunner().invoke(group, words, catch_exceptions=False).stdout.splitlines()
    program, *devices, bootstrap = fsck.split()
    assert program == "fsck.erofs"
    assert mount == f"{bootstrap}: mount -t erofs -o {','.join(device.removeprefix('--') for device in devices)}"
    if shutil.which(program) is None:
        pytest.skip("no fsck.erofs: install erofs-utils")
    assert subprocess.run(fsck.split(), capture_output=True).returncode == 0
    assert subprocess.run([program, bootstrap], capture_output=True).returncode != 0
