"""A conformance suite for backends: subclass it, say how to get one, and pytest runs it.

    class TestMine(BackendConformance):
        @pytest.fixture
        def backend(self, blobs, tmp_path):
            ...put each of blobs, a mapping of id to content, where the backend looks for them...
            return MyBackend(tmp_path)

What it holds a backend to is what caches rely on: whole ranges or an error of ours, from any number of
threads. It knows nothing of how blobs are kept, so it can be run over a server, a disk or a wrapper.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np
import pytest

from storage.backend import BlobBackend, BlobReader, Transfer
from storage.errors import BackendError, MissingBlobError, StorageError

__all__ = ["BackendConformance", "named", "noise"]

_HOSTILE = ("", ".", "..", "../blob", "a/b", "/etc/passwd", "a\0b", "a\nb", "a\r\nHost: b")
_ODD = ("a b", "a?b", "a#b", "%2e%2e", "é", "x" * 300)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that compress badly and repeat nowhere."""
    return np.random.default_rng(seed).bytes(size)


def named(*contents: bytes) -> Mapping[str, bytes]:
    """Contents by the ids that nydus gives blobs: the SHA-256 in hex."""
    return MappingProxyType({hashlib.sha256(content).hexdigest(): content for content in contents})


def _read(reader: BlobReader, offset: int, length: int) -> bytes:
    """The range, read into the middle of a larger buffer of which the rest must stay as it was."""
    buffer = bytearray(b"\xa5" * (length + 32))
    transfer = reader.read_into(memoryview(buffer)[16 : 16 + length], offset)
    assert isinstance(transfer, Transfer)
    assert transfer.received == length
    assert buffer[:16] == buffer[-16:] == b"\xa5" * 16
    return bytes(buffer[16:-16])


class BackendConformance:
    """Subclass it as ``TestSomething`` and give it the fixture `backend`.

    Override `blobs` where not all of them can be kept.
    """

    missing = "0" * 64
    """An id that the backend does not have."""

    @pytest.fixture
    def blobs(self) -> Mapping[str, bytes]:
        """What the backend must have: contents by id."""
        return named(b"", b"\x5a", noise(300_001))

    @pytest.fixture
    def backend(self, blobs: Mapping[str, bytes]) -> BlobBackend:
        """A backend that has the blobs."""
        raise NotImplementedError

    @pytest.fixture
    def largest(self, blobs: Mapping[str, bytes]) -> str:
        """The id of the blob that most tests read."""
        return max(blobs, key=lambda blob_id: len(blobs[blob_id]))

    def test_whole(self, backend: BlobBackend, blobs: Mapping[str, bytes]) -> None:
        """Each blob has its size and, read whole, its content; its reader knows its name."""
        for blob_id, content in blobs.items():
            reader = backend.get_reader(blob_id)
            assert (reader.blob_id, reader.blob_size()) == (blob_id, len(content))
            assert _read(reader, 0, len(content)) == content

    @pytest.mark.parametrize(
        ("first", "length"), [(0, 1), (0, 4096), (1, 4096), (4095, 2), (65_536, 65_536), (-1, 1), (-4097, 4097), (0, 0)]
    )
    def test_ranges(
        self, first: int, length: int, backend: BlobBackend, blobs: Mapping[str, bytes], largest: str
    ) -> None:
        """A range is what lies there, up to the last byte, and nothing else is written; `first` counts from the end."""
        content = blobs[largest]
        offset = first % len(content)
        assert _read(backend.get_reader(largest), offset, length) == content[offset : offset + length]

    def test_any_range(self, backend: BlobBackend, blobs: Mapping[str, bytes], largest: str) -> None:
        """So are ranges drawn at random, one after the other through one reader."""
        content, dice = blobs[largest], np.random.default_rng(11)
        reader = backend.get_reader(largest)
        for start, end in np.sort(dice.integers(0, len(content) + 1, (40, 2)), axis=1).tolist():
            assert _read(reader, start, end - start) == content[start:end]

    @pytest.mark.parametrize(("past", "length"), [(-1, 2), (-100, 4096), (0, 1), (1, 1), (1 << 40, 4096)])
    def test_past_the_end(
        self, past: int, length: int, backend: BlobBackend, blobs: Mapping[str, bytes], largest: str
    ) -> None:
        """A range that is not all there fails, and says of which blob; the reader can be used again."""
        reader = backend.get_reader(largest)
        end = len(blobs[largest])
        with pytest.raises(BackendError) as failed:
            _read(reader, end + past, length)
        assert not isinstance(failed.value, MissingBlobError)
        assert largest in str(failed.value)
        assert _read(reader, end - 1, 1) == blobs[largest][-1:]

    def test_missing(self, backend: BlobBackend) -> None:
        """A blob that is not there is missing, by name, at the latest when it is read or its size is asked for."""
        with pytest.raises(MissingBlobError, match=self.missing):
            backend.get_reader(self.missing).blob_size()
        with pytest.raises(MissingBlobError, match=self.missing):
            _read(backend.get_reader(self.missing), 0, 1)

    @pytest.mark.parametrize("blob_id", _HOSTILE + _ODD)
    def test_hostile_ids(self, blob_id: str, backend: BlobBackend) -> None:
        """No id, whatever is in it, gets at anything but blobs or raises anything but our errors."""
        with pytest.raises(BackendError):
            _read(backend.get_reader(blob_id), 0, 1)

    def test_first_byte(self, backend: BlobBackend, largest: str) -> None:
        """The first byte comes no later than the last."""
        reader, buffer = backend.get_reader(largest), bytearray(4096)
        start = time.monotonic_ns()
        transfer = reader.read_into(memoryview(buffer), 0)
        assert 0 <= transfer.ttfb_ns <= time.monotonic_ns() - start

    def test_threads(self, backend: BlobBackend, blobs: Mapping[str, bytes], largest: str) -> None:
        """Sixteen threads that read at once through one reader, and each through its own, get their own bytes."""
        content, dice = blobs[largest], np.random.default_rng(5)
        shared = backend.get_reader(largest)
        spans = np.sort(dice.integers(0, len(content), (96, 2)), axis=1).tolist()

        def right(number: int) -> bool:
            start, end = spans[number]
            reader = shared if number % 2 else backend.get_reader(largest)
            return _read(reader, start, end - start) == content[start:end]

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(right, range(len(spans))))

    def test_errors_in_threads(self, backend: BlobBackend, blobs: Mapping[str, bytes], largest: str) -> None:
        """Reads that fail do not disturb those beside them, and leave nothing behind that stops later ones."""
        reader, size = backend.get_reader(largest), len(blobs[largest])

        def fails(number: int) -> bool:
            try:
                return _read(reader, size * (number % 2), 512) != blobs[largest][:512]
            except StorageError:
                return True

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(fails, range(64))) == [False, True] * 32

    def test_repr(self, backend: BlobBackend) -> None:
        """A backend says what it is in one line."""
        assert type(backend).__name__ in repr(backend)
        assert "\n" not in repr(backend)
