"""One image as tables: what is in it, how large, how often, and where it lies in its blobs.

The picture of it is `workbench.view.blob_map`.
"""

from workbench.layout._tables import (
    TOP,
    Tables,
    blobs,
    chunk_sizes,
    directories,
    duplicates,
    extensions,
    owners,
    where,
)

__all__ = ["TOP", "Tables", "blobs", "chunk_sizes", "directories", "duplicates", "extensions", "owners", "where"]
