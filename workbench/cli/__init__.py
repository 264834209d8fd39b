"""The `workbench` command."""

from workbench.cli._main import group, main

__all__ = ["group", "main"]
