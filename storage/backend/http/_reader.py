"""A blob over HTTP: ranges into the caller's buffer, whatever the server does with a Range."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable
from typing import IO

from storage.backend._base import Transfer
from storage.backend.http._client import HttpClient
from storage.backend.http._messages import Failure, Request, Response
from storage.backend.http._secret import mask_url
from storage.errors import BackendError

__all__ = ["HttpReader"]

_log = logging.getLogger("storage.backend")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_PIECE = 1 << 20
_NO_HEAD = (400, 401, 403, 405, 501)  # a URL that is signed for GET, a server that does not know HEAD


class HttpReader:
    """One blob of a backend over HTTP.

    The first request goes alone, so that it is known how the server takes a Range (and who we are) before
    many follow. A server that answers with the whole blob is asked once: the blob is kept in a temporary file.

    Parameters
    ----------
    client
        Sends the requests.
    blob_id
        The blob's name.
    request
        Gives a new request of a method, GET or HEAD, for the blob.
    """

    def __init__(self, client: HttpClient, blob_id: str, request: Callable[[str], Request]) -> None:
        self.blob_id = blob_id
        self._client = client
        self._make = request
        self._size: int | None = None
        self._tried = False
        self._first = threading.Lock()
        self._whole: IO[bytes] | None = None
        self._spooling = threading.Lock()

    def blob_size(self) -> int:
        """Bytes of the blob: by HEAD, or where that is refused, of the first byte's Content-Range."""
        if self._size is None:
            try:
                self._size = self._client.send(self._request("HEAD", 0), _content_length)
            except BackendError as error:
                if error.where.get("status") not in _NO_HEAD:
                    raise
        if self._size is None:
            self.read_into(memoryview(bytearray(1)), 0)
        if self._size is None:
            raise BackendError("the server does not say how long the blob is", blob=self.blob_id)
        return self._size

    def read_into(self, buffer: memoryview, offset: int) -> Transfer:
        """Fill the buffer from `offset` on; see `BlobReader`."""
        if not len(buffer):
            return Transfer(0, 0)
        if not self._tried:
            with self._first:
                if not self._tried:
                    try:
                        return self._ask(buffer, offset)
                    finally:
                        self._tried = True  # though it failed: who waited shall not fail one after the other
        return self._ask(buffer, offset) if self._whole is None else self._reread(buffer, offset)

    def copy_to(self, write: Callable[[memoryview], object], offset: int = 0) -> int:
        """Stream the blob from `offset` to its end, piece by piece; how many bytes it was.

        A stream that breaks is taken up again where it was.

        Raises
        ------
        BackendError
            If it cannot be had whole.
        """
        stream = _Stream(self._request("GET", offset), write, offset)
        end = self._client.send(stream.request, stream.consume)
        self._client.metrics.count("bytes", end - offset)
        return end - offset

    def _request(self, method: str, offset: int) -> Request:
        request = self._make(method)
        request.headers["Accept-Encoding"] = "identity"
        request.where = {"blob": self.blob_id, "offset": offset}
        return request

    def _ask(self, buffer: memoryview, offset: int) -> Transfer:
        fill = _Fill(self, self._request("GET", offset), buffer, offset)
        transfer = self._client.send(fill.request, fill.consume)
        self._client.metrics.count("bytes", transfer.received)
        return transfer

    def learn_size(self, size: int | None) -> None:
        """The server may have said how long the blob is."""
        if size is not None:
            self._size = size

    def keep_whole(self, response: Response) -> None:
        """The server answered with the whole blob: keep it, unless another thread has it."""
        with self._spooling:
            if self._whole is not None:
                return
            _log.warning("%s ignores Range: blob %s is downloaded whole", mask_url(response.url), self.blob_id)
            response.unhurried()
            file = tempfile.TemporaryFile(prefix="blob-")  # noqa: SIM115 - it lives as long as the reader
            try:
                size = _spool(response, file)
            except BaseException:
                file.close()
                raise
            self._client.metrics.count("whole")
            self._size, self._whole = size, file

    def reread(self, buffer: memoryview, offset: int) -> int:
        """Read from the blob that was kept whole."""
        assert self._whole is not None
        done = 0
        while done < len(buffer) and (count := os.preadv(self._whole.fileno(), [buffer[done:]], offset + done)):
            done += count
        if done < len(buffer):
            raise BackendError("the blob ends early", blob=self.blob_id, offset=offset + done)
        return done

    def _reread(self, buffer: memoryview, offset: int) -> Transfer:
        return Transfer(self.reread(buffer, offset), 0)

    def __repr__(self) -> str:
        return f"HttpReader({self.blob_id!r})"


class _Fill:
    """Fills a buffer, over as many attempts as it takes: each goes on where the one before it ended."""

    def __init__(self, reader: HttpReader, request: Request, buffer: memoryview, offset: int) -> None:
        self.request = request
        self._reader = reader
        self._buffer = buffer.cast("B")
        self._offset = offset
        self._done = 0
        self._aim()

    def _aim(self) -> None:
        end = self._offset + len(self._buffer) - 1
        self.request.headers["Range"] = f"bytes={self._offset + self._done}-{end}"

    def consume(self, response: Response) -> Transfer:
        _check_encoding(response)
        if response.status == 200:
            self._reader.keep_whole(response)
            return Transfer(self._reader.reread(self._buffer, self._offset), response.ttfb_ns)
        size = _check_range(response, self._offset + self._done, self._offset + len(self._buffer), self.request.where)
        self._done += response.readinto(self._buffer[self._done :])
        if self._done < len(self._buffer):
            self._aim()
            raise Failure(BackendError("the body ends early", **self.request.where, url=mask_url(response.url)))
        self._reader.learn_size(size)
        return Transfer(self._done, response.ttfb_ns)


class _Stream:
    """Writes all that follows an offset, over as many attempts as it takes."""

    def __init__(self, request: Request, write: Callable[[memoryview], object], offset: int) -> None:
        self.request = request
        self._write = write
        self._position = offset
        self._buffer = memoryview(bytearray(_PIECE))
        request.stream = True
        if offset:
            request.headers["Range"] = f"bytes={offset}-"

    def consume(self, response: Response) -> int:
        _check_encoding(response)
        if response.status == 206:
            size = _check_range(response, self._position, None, self.request.where)
            skip = 0
        else:
            size = _content_length(response)
            skip = self._position
        while count := response.readinto(self._buffer):
            if count > skip:
                self._write(self._buffer[skip:count])
                self._position += count - skip
                self.request.headers["Range"] = f"bytes={self._position}-"
            skip = max(skip - count, 0)
        if size is not None and self._position < size:
            raise Failure(BackendError("the body ends early", **self.request.where, url=mask_url(response.url)))
        return self._position


def _content_length(response: Response) -> int | None:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else None


def _check_encoding(response: Response) -> None:
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise BackendError(f"the server sends what we did not ask for: {encoding[:20]}", url=mask_url(response.url))


def _check_range(response: Response, start: int, end: int | None, where: dict[str, object]) -> int | None:
    """See that a 206 has just what was asked for; how long the blob is, if it says so."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    size = None if match is None or match[3] == "*" else int(match[3])
    if match is None:
        what = "the server answers a range without saying which"
    elif end is not None and size is not None and size < end:
        what = "the blob ends early"
    elif int(match[1]) != start or (end is not None and int(match[2]) + 1 != end):
        what = "the server answers another range than was asked"
    else:
        return size
    raise BackendError(what, **where, url=mask_url(response.url))


def _spool(response: Response, file: IO[bytes]) -> int:
    """Write the whole body to a file; its length."""
    expected, done = _content_length(response), 0
    buffer = memoryview(bytearray(_PIECE))
    while count := response.readinto(buffer):
        try:
            file.write(buffer[:count])
            file.flush()
        except OSError as error:
            raise BackendError(f"the blob cannot be kept: {error.strerror}", url=mask_url(response.url)) from error
        done += count
    if expected is not None and done != expected:
        raise Failure(BackendError("the body ends early", url=mask_url(response.url)))
    return done
