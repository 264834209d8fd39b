"""Imports out of an image: a finder over the RAFS driver in this process."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec, SourceFileLoader
from types import ModuleType

from storage.errors import PathError
from workbench.trace._reader import RecordingReader

__all__ = ["ROOT", "ImageFinder", "forget_library"]

ROOT = "<image>"

# Modules of which the interpreter holds one itself, or that hold its state.
_KEPT = {"__main__", "builtins", "encodings", "importlib", "sys", "threading", "site", "runpy"}


class ImageFinder:
    """Finds modules of an image whose root is a folder of modules, a standard library say.

    Put first on ``sys.meta_path``. Compiled files in ``__pycache__`` are taken where they
    belong to their source; extension modules are loaded from an anonymous file that is filled
    through the store.

    Attributes
    ----------
    found
        Names of the modules that came from the image, in order.
    """

    def __init__(self, reader: RecordingReader) -> None:
        self.reader = reader
        self.found: list[str] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module, or None for others to find it."""
        if path is None:
            folders = ["", "/lib-dynload"]
        else:
            folders = [entry.removeprefix(ROOT) for entry in path if entry.startswith(ROOT)]
        tail = name.rpartition(".")[2]
        for folder in folders:
            spec = self._in_folder(name, f"{folder}/{tail}")
            if spec is not None:
                self.found.append(name)
                return spec
        return None

    def _in_folder(self, name: str, stem: str) -> ModuleSpec | None:
        if self._has(f"{stem}/__init__.py"):
            spec = self._source(name, f"{stem}/__init__.py")
            spec.submodule_search_locations = [ROOT + stem]
            return spec
        for suffix in EXTENSION_SUFFIXES:
            if self._has(stem + suffix):
                return self._extension(name, stem + suffix)
        return self._source(name, f"{stem}.py") if self._has(f"{stem}.py") else None

    def _has(self, path: str) -> bool:
        try:
            self.reader.rafs.lookup(path)
        except PathError:
            return False
        return True

    def _source(self, name: str, path: str) -> ModuleSpec:
        loader = ImageLoader(name, ROOT + path, self.reader)
        spec = ModuleSpec(name, loader, origin=ROOT + path)
        spec.has_location = True
        return spec

    def _extension(self, name: str, path: str) -> ModuleSpec:
        place = _as_file(self.reader.read(path))
        spec = ModuleSpec(name, ExtensionFileLoader(name, place), origin=place)
        spec.has_location = True
        return spec


class ImageLoader(SourceFileLoader):
    """Loads a source file, or its compiled file, through the store."""

    def __init__(self, name: str, path: str, reader: RecordingReader) -> None:
        super().__init__(name, path)
        self._reader = reader

    def get_data(self, path: str) -> bytes:
        """The content of a file of the image."""
        try:
            return self._reader.read(path.removeprefix(ROOT))
        except PathError as error:
            raise FileNotFoundError(path) from error

    def path_stats(self, path: str) -> dict[str, float]:
        """What a compiled file is compared with."""
        info = self._reader.rafs.stat(path.removeprefix(ROOT))
        return {"mtime": info.st_mtime_ns // 10**9, "size": info.st_size}

    def set_data(self, path: str, data: object, *, _mode: int = 0o666) -> None:
        """Do nothing: an image is not written to."""


def _as_file(content: bytes) -> str:
    """The name of a file with this content that lasts as long as the process."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("extension")
        os.write(descriptor, content)
        return f"/proc/self/fd/{descriptor}"
    with tempfile.NamedTemporaryFile(suffix=EXTENSION_SUFFIXES[-1], delete=False) as file:
        file.write(content)
    return file.name


def forget_library(folder: str) -> None:
    """Forget the modules of the standard library in `folder`, so that they are imported again.

    Whoever imported them keeps them. Built-in, frozen and extension modules stay, and so do
    those that the interpreter itself relies on.
    """
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None) or ""
        ours = origin.startswith(folder) and "-packages" not in origin and origin.endswith(".py")
        if ours and name.partition(".")[0] not in _KEPT:
            del sys.modules[name]
