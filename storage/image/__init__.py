"""RAFS images on disk, read into tables."""

from storage.image._contents import chunk_digests
from storage.image._image import Image, Stat
from storage.image._inode_digests import check_inode_digests
from storage.image._locate import Located, locate
from storage.image._meta import BlobMeta, blob_meta_span, load_blob_meta_file, read_blob_meta
from storage.image._open import Bootstrap, open_bootstrap, open_image
from storage.image._source import BlobSource
from storage.image.blob_info import BlobFeatures, BlobInfo
from storage.image.tables import Blobs, Chunks, Entries, Extents, Inodes, Table

__all__ = [
    "BlobFeatures",
    "BlobInfo",
    "BlobSource",
    "BlobMeta",
    "Blobs",
    "Bootstrap",
    "Chunks",
    "Entries",
    "Extents",
    "Image",
    "Inodes",
    "Located",
    "Stat",
    "Table",
    "blob_meta_span",
    "check_inode_digests",
    "chunk_digests",
    "load_blob_meta_file",
    "locate",
    "open_bootstrap",
    "open_image",
    "read_blob_meta",
]
