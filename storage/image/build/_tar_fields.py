"""What stands in the fields of a tar header, and in the records of a PAX header.

Source: POSIX.1-2017 ``pax``; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator

from storage.errors import FormatError
from storage.image._ondisk import TAR_BLOCK_SIZE as TAR_BLOCK
from storage.image.build._tar_stream import TarStream

__all__ = [
    "TAR_BLOCK",
    "check_sum",
    "device",
    "extension_size",
    "identity",
    "number",
    "octal",
    "pax_records",
    "text_of",
    "up",
    "where",
]

_MAX_EXTENSION = 1 << 20  # of one extended header: names and xattrs are far shorter


def pax_records(text: bytes, stream: TarStream, at: int) -> Iterator[tuple[bytes, bytes]]:
    """The ``length key=value`` lines of a PAX header."""
    start = 0
    while start < len(text):
        digits, _, _ = text[start : start + 20].partition(b" ")
        end = start + int(digits) if digits.isdigit() else 0
        key, equals, value = text[start + len(digits) + 1 : end].partition(b"=")
        if end <= start + len(digits) + 1 or end > len(text) or not equals or not value.endswith(b"\n"):
            raise FormatError("a PAX header of the tar is broken", **where(stream, at))
        yield key, value[:-1]
        start = end


def number(extended: dict[bytes, bytes], key: bytes, stream: TarStream, at: int, otherwise: int) -> int:
    """A number of a PAX header, rounded down: seconds may have a fraction, which images do not keep."""
    text = extended.get(key)
    if not text:
        return otherwise
    whole, _, fraction = text.partition(b".")
    digits = whole.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 20 or (fraction and not fraction.isdigit()):
        raise FormatError(f"a PAX header has {key.decode()} {text[:40]!r}", field=key.decode(), **where(stream, at))
    return int(whole) - (whole.startswith(b"-") and bool(fraction.strip(b"0")))


def identity(extended: dict[bytes, bytes], key: bytes, header: bytes, start: int, stream: TarStream, at: int) -> int:
    """A user or group id."""
    value = number(extended, key, stream, at, octal(header, start, 8, key.decode(), stream, at))
    if not 0 <= value < 1 << 32:
        raise FormatError(f"{value} is no {key.decode()}", field=key.decode(), **where(stream, at))
    return value


def device(header: bytes, stream: TarStream, at: int) -> int:
    """The device number of a node."""
    major = octal(header, 329, 8, "devmajor", stream, at)
    minor = octal(header, 337, 8, "devminor", stream, at)
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise FormatError(f"{major}:{minor} is no device", field="devmajor", **where(stream, at))
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def extension_size(header: bytes, stream: TarStream, at: int) -> int:
    """Bytes of an extended header, which are no more than such a thing needs."""
    size = octal(header, 124, 12, "size", stream, at)
    if not 0 <= size <= _MAX_EXTENSION:
        raise FormatError(f"an extended header of {size} bytes is none", field="size", **where(stream, at))
    return size


def octal(header: bytes, start: int, length: int, field: str, stream: TarStream, at: int) -> int:
    """A number: octal digits, or base 256 where the first bit is set."""
    raw = header[start : start + length]
    if raw[0] & 0x80:
        value = int.from_bytes(raw, "big") & (1 << length * 8 - 1) - 1
        return value - (1 << length * 8 - 1) if raw[0] & 0x40 else value
    digits = raw.split(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise FormatError(f"a tar header has {field} {digits!r}", field=field, **where(stream, at))
    return int(digits, 8) if digits else 0


def check_sum(header: bytes, stream: TarStream, at: int) -> None:
    """Raise `FormatError` if this is no header."""
    if header[148:156].strip(b" \x000123456789"):
        raise FormatError("is not a tar", path=stream.path, offset=at)
    told = octal(header, 148, 8, "checksum", stream, at)
    rest = header[:148] + b" " * 8 + header[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in rest) if told != sum(rest) else told
    if told != signed:
        raise FormatError("is not a tar, or one with a broken header", field="checksum", **where(stream, at))


def text_of(header: bytes, start: int, length: int) -> bytes:
    """A text that ends with the first zero."""
    return header[start : start + length].split(b"\0")[0]


def where(stream: TarStream, at: int) -> dict[str, object]:
    """What an error says of a header."""
    return {"path": stream.path, "offset": at}


def up(offset: int) -> int:
    """The next whole block."""
    return -(-offset // TAR_BLOCK) * TAR_BLOCK
