"""Blobs of an image where a configuration says."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.backend import BlobReader, MeteredBackend, RoutedBackend
    from storage.config import ConfigV2
    from storage.fs import Rafs

__all__ = ["Configured", "load"]

# What is imported late takes a while: whoever has no configuration need not wait for it.


class Configured:
    """A configuration's backend of an image, opened when it is first asked for a blob.

    Parameters
    ----------
    image
        The image.
    path
        The configuration.
    opened
        Told of the backends.
    """

    def __init__(self, image: Path, path: Path, opened: Callable[[Sequence[MeteredBackend]], None]) -> None:
        self.image = image
        self.path = path
        self.config = load(path)
        self._opened = opened
        self._backend: MeteredBackend | RoutedBackend | None = None

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob."""
        return self.backend().get_reader(blob_id)

    def backend(self) -> MeteredBackend | RoutedBackend:
        """The backend."""
        if self._backend is None:
            from storage.backend import meters_of
            from storage.configured import open_backends
            from storage.image import locate

            with _warnings_said():
                self._backend = open_backends(locate(self.image), self.config)
            self._opened(meters_of(self._backend))
        return self._backend

    def open_store(self) -> Rafs:
        """A store as the configuration says, cache included."""
        from storage.configured import open_configured

        with _warnings_said():
            return open_configured(self.image, self.config)

    def warn_of_sections(self, instead: Mapping[str, str]) -> None:
        """Name the sections that have no effect in a verb, and the options that have it in their place."""
        for name, options in instead.items():
            if getattr(self.config, name) is not None:
                message = f"the configuration's section {name} has no effect here: {options} say what it would"
                print(f"workbench: warning: {message}", file=sys.stderr)

    def close(self) -> None:
        """Close what was opened."""
        if self._backend is not None:
            self._backend.close()


def load(path: Path) -> ConfigV2:
    """A configuration; what it says that is not known is said on standard error."""
    from storage.config import load_config

    with _warnings_said():
        return load_config(path)


@contextmanager
def _warnings_said() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for warning in caught:
                print(f"workbench: warning: {warning.message}", file=sys.stderr)
