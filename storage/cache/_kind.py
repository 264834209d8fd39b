"""In what form a cache keeps chunks."""

from __future__ import annotations

from dataclasses import dataclass, field

from storage.codec import PageCipher
from storage.errors import ConfigError

__all__ = ["MAPS", "CacheKind"]

MAPS = ("indexed", "digested", "range")


@dataclass(frozen=True)
class CacheKind:
    """In what form a file cache keeps chunks, by upstream's settings.

    Attributes
    ----------
    compressed
        Keep what the backend has, in ``<blob>.blob.raw``, and decode it on every read; the chunk map is the same.
    validate
        Verify what is read from the cache file, too, and fetch again what was spoilt there. What comes from
        the backend is verified always.
    cipher
        Encrypt what is kept in ``<blob>.blob.data``. It is nydusd's format, and no protection against who can
        compare two states of the file: every page of 4 KiB has the same tweak. Raw data are kept as they are.
    chunk_map
        ``indexed``, ``digested`` or ``range``. By default it is indexed; digested for blobs of v5 images
        whose chunks have no numbers, and with `disable_indexed_map` for those of all v5 images.
    disable_indexed_map
        See above.

    Raises
    ------
    ConfigError
        If there is no such chunk map.
    """

    compressed: bool = False
    validate: bool = False
    cipher: PageCipher | None = field(default=None, repr=False)
    chunk_map: str | None = None
    disable_indexed_map: bool = False

    @property
    def form(self) -> str:
        """What chunks are on disk: ``raw``, ``encrypted``, or as they are, which is the empty string."""
        if self.compressed:
            return "raw"
        return "" if self.cipher is None else "encrypted"

    def __post_init__(self) -> None:
        if self.chunk_map not in (None, *MAPS):
            raise ConfigError(f"no chunk map is called {self.chunk_map!r}; there are {', '.join(MAPS)}")
