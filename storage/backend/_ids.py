"""Which blob ids may become part of a path or a URL."""

from __future__ import annotations

from storage.errors import BackendError

__all__ = ["check_blob_id"]


def check_blob_id(blob_id: str) -> None:
    """See that an id, which an image says, is one name and no way to somewhere else.

    Raises
    ------
    BackendError
        If it is not.
    """
    if not blob_id or not blob_id.isprintable() or "/" in blob_id or blob_id in (".", ".."):
        raise BackendError("a blob id is not a file name", blob=blob_id)
