"""One tree of errors; each names what failed.

Whatever goes wrong in `storage` or `workbench` is raised as a `StorageError`. The
message says what happened and, where there is one, what to do about it; the keyword
arguments say where: they are kept as attributes and appended to the text.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "CacheError",
    "CacheUnavailableError",
    "ConfigError",
    "FormatError",
    "IntegrityError",
    "MissingBlobError",
    "PathError",
    "StorageError",
    "TraceError",
    "UnsupportedError",
]


class StorageError(Exception):
    """Root of all errors raised here.

    Parameters
    ----------
    message
        What went wrong, as a sentence without the full stop.
    **where
        What failed: any of ``path``, ``offset``, ``field``, ``blob``, ``chunk``, ``url``.
        Values of ``None`` are dropped.
    """

    def __init__(self, message: str, **where: object) -> None:
        self.message = message
        self.where = {key: value for key, value in where.items() if value is not None}
        super().__init__(message)

    def __str__(self) -> str:
        if not self.where:
            return self.message
        return f"{self.message} ({', '.join(f'{k} {v}' for k, v in self.where.items())})"


class FormatError(StorageError):
    """Bytes that are not what their format says they must be."""


class UnsupportedError(FormatError):
    """A feature that the format has and this implementation refuses, by name."""


class IntegrityError(StorageError):
    """A chunk or a table whose digest or checksum does not match its content."""


class BackendError(StorageError):
    """A blob could not be read from where it is kept."""


class MissingBlobError(BackendError):
    """The blob is not there at all."""


class CacheError(StorageError):
    """The cache folder is not usable: foreign, corrupt, full or read-only."""


class CacheUnavailableError(CacheError):
    """The cache folder cannot be used now, being full, or another process evicting from it.

    Nothing is wrong with it; whoever wants to read goes without, as `storage.factory.open_store` does.
    """


class PathError(StorageError):
    """A path that does not exist in the image, or is not of the kind asked for."""


class ConfigError(StorageError):
    """A setting that is missing, contradictory or out of range."""


class TraceError(StorageError):
    """A trace that cannot be read, or that belongs to another image."""
