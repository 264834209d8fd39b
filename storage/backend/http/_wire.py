"""HTTP/1.1 as bytes (RFC 9112): what a request looks like, and where an answer's head and body end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Body", "DisconnectedError", "Head", "Inbox", "ProtocolError", "body_of", "parse_head", "request_head"]

_ROOM = 8 << 10  # the head of an answer and a small body come with one call
_MAX_HEAD = 64 << 10
_MAX_SIZE_LINE = 1 << 10
_HEAD_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\n")
_MARK = 3  # bytes of the longest of them
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9]\d\d)(?: .*)?")
_RANGE_LINE = re.compile(rb"\n[Cc]ontent-[Rr]ange: (bytes [0-9]+-[0-9]+/[0-9]+)(?=\r?\n[^ \t]|\Z)")
_HEADER = re.compile(r"^([^\s:]+):[ \t]*(\S(?:.*\S)?|)[ \t]*$", re.MULTILINE)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_CHUNK_SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,15})\s*(?:;.*)?")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

Receive = Callable[[memoryview, bool], int]
"""Receives bytes, at least one unless there are no more; if told so, as many as the buffer holds."""


class ProtocolError(Exception):
    """What was received, or is to be sent, is not HTTP/1.1."""


class DisconnectedError(ConnectionResetError):
    """The connection was closed where an answer was to come."""


def request_head(method: str, target: str, host: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """The head of a request.

    Parameters
    ----------
    target, host
        A path or a URL, and what to put into ``Host`` if `headers` have none.
    length
        Of the body, if it is known and not in `headers`.

    Raises
    ------
    ProtocolError, UnicodeError
        If a header would end before its end, or is not of Latin letters.
    """
    start = _start_lines(method, target, host, tuple(headers), length)
    text = start + "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    ends = start.count("\n") + len(headers)
    if text.count("\n") != ends or text.count("\r") != ends:
        raise ProtocolError("a header has the end of a line in it")
    return (text + "\r\n").encode("latin-1")


@lru_cache(256)
def _start_lines(method: str, target: str, host: str, given: tuple[str, ...], length: int | None) -> str:
    """The request line, and the headers that must be there and are not given."""
    names = {name.lower() for name in given}
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"Host: {host}")
    if "accept-encoding" not in names:
        lines.append("Accept-Encoding: identity")
    if "content-length" not in names and (length is not None or method in _WITH_BODY):
        lines.append(f"Content-Length: {length or 0}")
    if any("\n" in line or "\r" in line for line in lines):
        raise ProtocolError("a header has the end of a line in it")
    return "\r\n".join([*lines, ""])


class Head(NamedTuple):
    """The head of an answer.

    Attributes
    ----------
    status
        Of the answer.
    headers
        By name in lower case; values of the same name are joined by commas.
    keeps
        Whether the connection stays open after it.
    """

    status: int
    headers: dict[str, str]
    keeps: bool


def parse_head(raw: bytes) -> Head:
    r"""Parse a head, without the empty line behind it.

    Raises
    ------
    ProtocolError
        If it is none.

    Examples
    --------
    >>> parse_head(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5")
    Head(status=206, headers={'content-length': '5'}, keeps=True)
    """
    line = _RANGE_LINE.search(raw)
    if line is not None:  # the answers to ranges of a blob differ in this line alone
        head = _parse_kept(raw[: line.start()].removesuffix(b"\r") + raw[line.end() :])
        if "content-range" not in head.headers:
            return Head(head.status, head.headers | {"content-range": line[1].decode()}, head.keeps)
    return _parse(raw)


def _parse(raw: bytes) -> Head:
    first, _, rest = raw.decode("latin-1").replace("\r\n", "\n").partition("\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise ProtocolError("it has no status")
    pairs = _HEADER.findall(rest)
    headers = {name.lower(): value for name, value in pairs}
    if len(headers) != rest.count("\n") + bool(rest):
        headers = _headers(rest.split("\n"))
    connection = headers.get("connection", "").lower()
    keeps = "close" not in connection if status[1] == "1" else "keep-alive" in connection
    return Head(int(status[2]), headers, keeps)


_parse_kept = lru_cache(64)(_parse)


def _headers(lines: list[str]) -> dict[str, str]:
    """Headers of which a line may be folded, or a name be there twice."""
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in (" ", "\t") and name:
            headers[name] += " " + line.strip()  # a folded line
            continue
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if not colon or not name or name != name.strip():
            raise ProtocolError("a header is none")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class Inbox:
    """What a connection has received and nobody has taken yet."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._buffer = bytearray(_ROOM)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    @property
    def empty(self) -> bool:
        """Whether all has been taken."""
        return self._start == self._end

    def head(self) -> bytes:
        """All bytes before an empty line, which is taken too.

        Raises
        ------
        DisconnectedError
            If there is none.
        ProtocolError
            If it does not come within 64 KiB.
        """
        found, size = self._until(_HEAD_END, _MAX_HEAD)
        self._start += size
        return found

    def line(self) -> bytes:
        """A line of the framing of chunks."""
        found, size = self._until(_LINE_END, _MAX_SIZE_LINE)
        self._start += size
        return found

    def readinto(self, view: memoryview, whole: bool) -> int:
        """Take bytes that are there, or receive some; 0 where there are no more."""
        there = self._end - self._start
        if there == 0:
            return self._receive(view, whole)
        count = min(there, len(view))
        view[:count] = self._view[self._start : self._start + count]
        self._start += count
        return count

    def _until(self, mark: re.Pattern[bytes], limit: int) -> tuple[bytes, int]:
        """The bytes before a mark, and their number with it."""
        if self._start == self._end:
            self._start = self._end = 0
        seen = 0
        while (found := mark.search(self._buffer, self._start + max(seen - _MARK, 0), self._end)) is None:
            seen = self._end - self._start
            if seen >= limit:
                raise ProtocolError("it is too long")
            self._make_room()
            count = self._receive(self._view[self._end :], False)
            if count == 0:
                raise DisconnectedError("the connection is closed within the headers")
            self._end += count
        before = bytes(self._view[self._start : found.start()])
        return before.removesuffix(b"\r"), found.end() - self._start

    def _make_room(self) -> None:
        if self._end < len(self._buffer):
            return
        kept = bytes(self._view[self._start : self._end])
        self._view.release()
        self._buffer = bytearray(max(2 * len(kept), _ROOM))
        self._view = memoryview(self._buffer)
        self._view[: len(kept)] = kept
        self._start, self._end = 0, len(kept)


class Body:
    """An answer's body that is still on the wire.

    Attributes
    ----------
    left
        Bytes of it that are not read yet; None where that is not known.
    finished
        Whether it has been read to its end.
    """

    def __init__(self, inbox: Inbox, left: int | None) -> None:
        self.left = left
        self.finished = left == 0
        self._inbox = inbox

    def readinto(self, view: memoryview) -> int:
        """Bytes put into the buffer, at least one unless the body ends, or is cut off."""
        if self.left is not None and len(view) > self.left:
            view = view[: self.left]
        if self.finished or not len(view):
            return 0
        count = self._inbox.readinto(view, True)
        if self.left is not None:
            self.left -= count
            self.finished = self.left == 0
        elif count == 0:
            self.finished = True
        return count


class _ChunkedBody(Body):
    """A body in chunks, each behind its size."""

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(inbox, None)
        self._chunk = 0
        self._begun = False

    def readinto(self, view: memoryview) -> int:
        if self.finished or not len(view):
            return 0
        if self._chunk == 0:
            self._next()
            if self.finished:
                return 0
        count = self._inbox.readinto(view[: self._chunk], False)
        if count == 0:
            raise DisconnectedError("the connection is closed within a chunk")
        self._chunk -= count
        return count

    def _next(self) -> None:
        if self._begun and self._inbox.line():
            raise ProtocolError("a chunk is longer than it says")
        size = _CHUNK_SIZE.fullmatch(self._inbox.line())
        if size is None:
            raise ProtocolError("a chunk has no size")
        self._begun, self._chunk = True, int(size[1], 16)
        if self._chunk == 0:
            while self._inbox.line():  # trailers
                pass
            self.left, self.finished = 0, True


def body_of(method: str, head: Head, inbox: Inbox) -> Body:
    """The body that follows a head (RFC 9112, 6.3).

    Raises
    ------
    ProtocolError
        If it cannot be told where it ends.
    """
    if method == "HEAD" or head.status in (204, 304) or head.status < 200:
        return Body(inbox, 0)
    coding = head.headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise ProtocolError("its coding is not known")
        return _ChunkedBody(inbox)
    length = head.headers.get("content-length")
    if length is None:
        return Body(inbox, None)
    if not _LENGTH.fullmatch(length):
        said = set(map(str.strip, length.split(",")))
        length = said.pop()
        if said or not _LENGTH.fullmatch(length):
            raise ProtocolError("its length is no number")
    return Body(inbox, int(length))
