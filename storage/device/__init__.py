"""Blobs as a device: upstream's names for chunks, IO vectors, ranges and the device itself."""

from storage.device._device import BlobCache, BlobDevice, Buffer, ReadAtOnce
from storage.device._io import BlobChunkInfo, BlobIoDesc, BlobIoRange, BlobIoVec, BlobPrefetchRequest
from storage.device._object import BlobObject
from storage.image.blob_info import BlobFeatures, BlobInfo

__all__ = [
    "BlobCache",
    "BlobChunkInfo",
    "BlobDevice",
    "BlobFeatures",
    "BlobInfo",
    "BlobIoDesc",
    "BlobIoRange",
    "BlobIoVec",
    "BlobObject",
    "BlobPrefetchRequest",
    "Buffer",
    "ReadAtOnce",
]
