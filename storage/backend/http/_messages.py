"""What is sent and what comes back."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO, Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from storage.backend.http._secret import mask_url
from storage.backend.http._wire import Body, Head
from storage.errors import BackendError

__all__ = ["Auth", "Failure", "Request", "Response", "joined", "origin_of", "without_credentials"]

_REST = _PIECE = 1 << 16
_CODE = re.compile(rb'(?:<Code>|"code"\s*:\s*")([A-Za-z_]{2,60})(?:</Code>|")')  # S3's, OSS's; a registry's
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


def without_credentials(headers: dict[str, str]) -> dict[str, str]:
    """The headers that another host may see."""
    return {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}


def joined(base: str, location: str) -> str:
    """Where a ``Location`` leads that came from `base`.

    Raises
    ------
    BackendError
        If it is nowhere.
    """
    try:
        url = urljoin(base, location)
    except ValueError as error:
        raise BackendError("the server redirects nowhere", url=mask_url(base)) from error
    origin_of(url)
    return url


@lru_cache(256)
def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL.

    Raises
    ------
    BackendError
        If it is not one of ``http`` or ``https``.
    """
    parts = _split(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        if known and not parts.netloc.endswith(":") and url.isascii() and url.isprintable() and " " not in url:
            return parts
    except ValueError:
        pass
    raise BackendError("is not an http URL", url=mask_url(url))


@dataclass
class Request:
    """A request, before it is known which way it goes.

    Attributes
    ----------
    method, url, headers, body
        What is sent. A body that is a file is sent from its start, and needs a ``Content-Length``.
    redirected
        Called with where a redirect leads; gives where to go instead.
    refused
        Called with an answer that is a refusal, or None where there was no answer; gives where to go instead, or
        None.
    direct
        Never through a proxy or a mirror, and without the backend's credentials: it has what it needs.
    stream
        The timeout is for each piece of the body, not for all of it.
    retries
        How often to try again, if not as the options say; 0 also where a kept connection turns out to be closed.
    expected
        Statuses that are an answer, not a failure.
    where
        Added to errors: blob, offset.
    """

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | IO[bytes] | None = None
    redirected: Callable[[str, Response], str] = lambda location, response: location
    refused: Callable[[Response | None], str | None] = lambda response: None
    direct: bool = False
    stream: bool = False
    retries: int | None = None
    expected: tuple[int, ...] = (200, 201, 202, 204, 206)
    where: dict[str, object] = field(default_factory=dict)

    def sent_to(self, url: str, headers: dict[str, str]) -> Request:
        """The same request to another URL with other headers; `copy.copy` takes ten times as long."""
        twin = Request.__new__(Request)
        twin.__dict__.update(self.__dict__)
        twin.url, twin.headers = url, headers
        return twin

    def __repr__(self) -> str:
        return f"Request({self.method} {mask_url(self.url)}, headers={sorted(self.headers)})"


class Response:
    """An answer whose body is still on the wire.

    Attributes
    ----------
    status, headers, url
        Of the answer; names of headers are in lower case, and `url` is where it came from.
    ttfb_ns
        Nanoseconds from sending to the end of the headers.
    unhurried
        From this call on the timeout is for each piece of the body, not for all of it.
    code
        Of a refusal: what the server calls it, if it does.
    """

    code = ""

    def __init__(self, url: str, head: Head, body: Body, ttfb_ns: int, unhurried: Callable[[], None]) -> None:
        self.url = url
        self.status = head.status
        self.headers = head.headers
        self.ttfb_ns = ttfb_ns
        self.unhurried = unhurried
        self._keeps = head.keeps
        self._body = body

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer from the body; less only where the body ends."""
        done = 0
        while done < len(buffer) and (count := self._body.readinto(buffer[done:] if done else buffer)):
            done += count
        return done

    def read(self, limit: int) -> bytes:
        """The body, which may not be longer than `limit`.

        Raises
        ------
        BackendError
            If it is.
        """
        content = self._read(limit + 1)
        if len(content) > limit:
            raise BackendError(f"an answer is longer than {limit:,} bytes", url=mask_url(self.url))
        if not self._body.finished:
            raise Failure(BackendError("the answer ends early", url=mask_url(self.url)))
        return content

    def _read(self, limit: int) -> bytes:
        """The body, or so much of it."""
        content, piece = io.BytesIO(), memoryview(bytearray(min(limit, _PIECE)))
        while (left := limit - content.tell()) > 0 and (count := self._body.readinto(piece[:left])):
            content.write(piece[:count])
        return content.getvalue()

    @property
    def finished(self) -> bool:
        """Whether the body has been read, and the connection is free for another request."""
        return self._body.finished and self._keeps

    def finish(self) -> None:
        """Read on to the end if it is not far, so that the connection can be used again; learn what a refusal says."""
        if self._body.finished or (self._body.left or 0) > _REST:
            return
        rest = self._read(_REST)
        if self.status >= 400 and (found := _CODE.search(rest)):
            self.code = found[1].decode()

    def __repr__(self) -> str:
        return f"Response({self.status} from {mask_url(self.url)})"


class Failure(Exception):  # noqa: N818 - not raised to callers
    """An attempt that failed in a way that another may not.

    Attributes
    ----------
    error
        Raised if there is no other attempt.
    retry_after
        Seconds that the server asks us to wait; None if it does not.
    free
        Whether the attempt does not count: a kept connection that turned out to be closed.
    """

    def __init__(self, error: BackendError, retry_after: float | None = None, free: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after
        self.free = free


class Auth(Protocol):
    """Says who we are; asked for requests to the backend's own host only, never for another."""

    def prepare(self, request: Request) -> None:
        """Add headers, or a signature over those that are there; called before each attempt."""

    def challenged(self, request: Request, response: Response) -> bool:
        """The host answered 401 or 403 to the prepared request: get better credentials; false if there are none.

        The connection is free by now: new requests may be made.
        """
