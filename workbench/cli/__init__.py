"""The `workbench` command."""

from workbench.cli import _cache, _image, _run
from workbench.cli._main import group, main

__all__ = ["group", "main"]

del _cache, _image, _run
