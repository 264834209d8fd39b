"""nydusd's access pattern: which inodes were read, how often, and when first (``GET /api/v1/metrics/pattern``)."""

from __future__ import annotations

import json
from pathlib import Path

from storage.errors import TraceError
from storage.image import Image

__all__ = ["read_access_pattern"]


def read_access_pattern(path: str | Path, image: Image) -> list[str]:
    """Paths in the order in which they were first read: a prefetch list.

    Raises
    ------
    TraceError
        If it is no access pattern, or of another image.
    """
    try:
        found = json.loads(Path(path).read_text())
        rows = [row for part in found for row in (part if isinstance(part, list) else [part])]
        ordered = sorted(rows, key=lambda row: (row["first_access_time_secs"], row["first_access_time_nanos"]))
        inodes = [int(row["ino"]) for row in ordered]
    except OSError as error:
        raise TraceError(f"the access pattern cannot be read: {error.strerror}", path=path) from error
    except (ValueError, KeyError, TypeError) as error:
        raise TraceError("is no access pattern of nydusd", path=path) from error
    by_number = {int(nid): row for row, nid in enumerate(image.inodes.nid.tolist())}
    missing = [number for number in inodes if number not in by_number]
    if missing:
        raise TraceError(f"inode {missing[0]} is not in this image", path=path)
    return [image.path_of(by_number[number]) for number in inodes]
