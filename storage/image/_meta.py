"""``blob.meta``: where each chunk of a blob lies, compressed and not.

In the blob it is an array, compressed as a whole, with a header of 4096 bytes behind it, both
encrypted if the blob is; in nydusd's cache folder it is the plain array, padded to 4096 bytes,
and the same header.

Source: nydus ``storage/src/meta/mod.rs``.
"""

from __future__ import annotations

import numpy as np

from storage.codec import decompress_into, decrypt
from storage.errors import FormatError
from storage.image._chunk_info import BlobMeta, unpack
from storage.image._ondisk import META_HEADER, META_HEADER_SIZE, META_MAGIC
from storage.image.blob_info import BlobInfo

__all__ = ["BlobMeta", "blob_meta_span", "load_blob_meta_file", "read_blob_meta"]

_BLOCK = 4096


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
    plain = bytearray(-(-info.meta_ci_uncompressed_size // _BLOCK) * _BLOCK)
    try:
        header = bytes(_decrypted(view[info.meta_ci_compressed_size :], info))
        array = _decrypted(view[: info.meta_ci_compressed_size], info)
        if info.meta_ci_uncompressed_size:
            decompress_into(info.meta_ci_compressor, array, memoryview(plain)[: info.meta_ci_uncompressed_size])
    except FormatError as error:
        raise FormatError(f"blob.meta: {error.message}", blob=info.blob_id, offset=info.meta_ci_offset) from error
    return load_blob_meta_file(bytes(plain) + header, info)


def _decrypted(data: memoryview, info: BlobInfo) -> memoryview:
    return memoryview(decrypt(info.cipher, info.cipher_key, info.cipher_iv, data)) if len(data) else data


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
    return unpack(info, header, content)
