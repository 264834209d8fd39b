"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["Partial"]


class Partial:
    """A file under another name until it is kept."""

    def __init__(self, folder: Path, buffering: int = 1 << 20) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".partial-", dir=folder)
        self.file = os.fdopen(descriptor, "wb", buffering=buffering)
        self._name: Path | None = Path(name)

    def keep(self, path: Path | None) -> None:
        """Give the file its name."""
        self.file.close()
        if path is not None and self._name is not None:
            self._name.chmod(0o644)
            self._name.replace(path)
            self._name = None

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if self._name is not None:
            self._name.unlink(missing_ok=True)
