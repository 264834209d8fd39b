"""``blob.meta``: where each chunk of a blob lies, compressed and not.

In the blob it is an array, compressed as a whole, with a header of 4096 bytes behind it; in
nydusd's cache folder it is the plain array, padded to 4096 bytes, and the same header.

Source: nydus ``storage/src/meta/{mod,chunk_info_v1}.rs``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storage.codec import decompress_into
from storage.errors import FormatError
from storage.image._ondisk import CHUNK_INFO_V1, META_HEADER, META_HEADER_SIZE, META_MAGIC
from storage.image.blob_info import BlobInfo

__all__ = ["BlobMeta", "blob_meta_span", "load_blob_meta_file", "read_blob_meta"]

I64 = npt.NDArray[np.int64]
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class BlobMeta:
    """Chunks of one blob, by index; all arrays (n,) int64, in bytes.

    Attributes
    ----------
    content
        The file as nydusd keeps it in its cache folder, ``<blob>.blob.meta``.
    """

    compressed_offset: I64
    compressed_size: I64
    uncompressed_offset: I64
    uncompressed_size: I64
    content: bytes


def blob_meta_span(info: BlobInfo) -> tuple[int, int]:
    """Offset and length of the array and its header in the blob."""
    return info.meta_ci_offset, info.meta_ci_compressed_size + META_HEADER_SIZE


def read_blob_meta(raw: bytes | memoryview, info: BlobInfo) -> BlobMeta:
    """Read what lies at `blob_meta_span` of the blob.

    Raises
    ------
    FormatError
        If it is not what the blob table says it is.
    """
    view = memoryview(raw)
    array, header = view[: info.meta_ci_compressed_size], view[info.meta_ci_compressed_size :]
    plain = bytearray(-(-info.meta_ci_uncompressed_size // _BLOCK) * _BLOCK)
    if info.meta_ci_uncompressed_size:
        target = memoryview(plain)[: info.meta_ci_uncompressed_size]
        try:
            decompress_into(info.meta_ci_compressor, array, target)
        except FormatError as error:
            raise FormatError(f"blob.meta: {error.message}", blob=info.blob_id, offset=info.meta_ci_offset) from error
    return load_blob_meta_file(bytes(plain) + bytes(header), info)


def load_blob_meta_file(content: bytes, info: BlobInfo) -> BlobMeta:
    """Read a ``<blob>.blob.meta`` file.

    Raises
    ------
    FormatError
        If it is not this blob's.
    """
    padded = -(-info.meta_ci_uncompressed_size // _BLOCK) * _BLOCK
    if len(content) != padded + META_HEADER_SIZE:
        message = f"blob.meta is {len(content)} bytes, this blob's is {padded + META_HEADER_SIZE}"
        raise FormatError(message, blob=info.blob_id)
    header = np.frombuffer(content, META_HEADER, 1, padded)[0]
    expected = {
        "magic": META_MAGIC,
        "magic2": META_MAGIC,
        "ci_entries": info.chunk_count,
        "ci_compressor": info.meta_ci_compressor,
        "ci_offset": info.meta_ci_offset,
        "ci_compressed_size": info.meta_ci_compressed_size,
        "ci_uncompressed_size": info.meta_ci_uncompressed_size,
    }
    for field, value in expected.items():
        if int(header[field]) != value:
            message = f"blob.meta has {field} {header[field]}, the image says {int(value)}"
            raise FormatError(message, blob=info.blob_id, field=field)
    return _unpack(np.frombuffer(content, CHUNK_INFO_V1, info.chunk_count), content)


def _unpack(records: np.ndarray, content: bytes) -> BlobMeta:
    compressed, plain = records["compressed"], records["uncompressed"]
    return BlobMeta(
        compressed_offset=(compressed & 0xFF_FFFF_FFFF).astype(np.int64),
        compressed_size=(((compressed & 0xF00_0000_0000) >> 20) | (compressed >> 44)).astype(np.int64) + 1,
        uncompressed_offset=(plain & 0xFFF_FFFF_F000).astype(np.int64),
        uncompressed_size=(((plain & 0xF00) << 12) | (plain >> 44)).astype(np.int64) + 1,
        content=content,
    )


