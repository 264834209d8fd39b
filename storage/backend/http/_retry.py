"""When to try again: pure decisions."""

from __future__ import annotations

import email.utils
import random
import re
import socket
import ssl
import time

from storage.backend.http._messages import Failure, Response
from storage.backend.http._resolve import ResolverTimeoutError
from storage.backend.http._secret import mask_url
from storage.errors import BackendError, MissingBlobError

__all__ = ["PATIENCE_S", "TRANSIENT", "backoff", "failure_of", "parse_retry_after", "refusal"]

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
PATIENCE_S = 60.0
"""Seconds to wait at most because a server says so; who says more is taken to have refused."""
_FIRST_S = 0.1
_LAST_S = 10.0


def backoff(attempt: int, retry_after: float | None, draw: float | None = None) -> float:
    """Seconds to wait after failed attempt number `attempt`, of 0: doubled each time, and half of it by chance.

    What the server asks for is a lower bound.

    Examples
    --------
    >>> backoff(3, None, draw=1.0)
    0.8
    >>> backoff(0, 2.0, draw=0.0)
    2.0
    """
    share = random.random() if draw is None else draw
    return max(min(_FIRST_S * 2**attempt, _LAST_S) * (0.5 + share / 2), retry_after or 0.0)


def parse_retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds that a ``Retry-After`` says (RFC 9110, 10.2.3), which gives a number or a date."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(date - (time.time() if now is None else now), 0.0)


def failure_of(error: Exception, url: str, where: dict[str, object], reused: bool) -> Failure | BackendError:
    """What an error of a socket or of the protocol means: a failure that may pass, or an end."""
    place = {**where, "url": mask_url(url)}
    if isinstance(error, ssl.SSLCertVerificationError):
        return BackendError(f"the certificate is not trusted: {error.verify_message}", **place)
    if isinstance(error, ssl.SSLError):
        return BackendError(f"TLS fails: {error.reason or error}", **place)
    if isinstance(error, TimeoutError):
        late = isinstance(error, ResolverTimeoutError)
        return Failure(BackendError(str(error) if late else "the server does not answer in time", **place))
    if isinstance(error, socket.gaierror):
        return Failure(BackendError(f"the host's name cannot be resolved: {error.strerror}", **place))
    closed = isinstance(error, (ConnectionResetError, BrokenPipeError))
    if isinstance(error, ConnectionRefusedError):
        return Failure(BackendError("the connection is refused", **place))
    if isinstance(error, OSError):
        what = error.strerror or str(error) or type(error).__name__
        return Failure(BackendError(f"the connection fails: {what}", **place), free=closed and reused)
    return Failure(BackendError(f"the answer is not HTTP: {error or type(error).__name__}", **place))


def refusal(response: Response, where: dict[str, object]) -> Failure | BackendError:
    """What an answer that is not a success means: a failure that may pass, or an end."""
    place = {**where, "status": response.status, "code": response.code or None, "url": mask_url(response.url)}
    if response.status in TRANSIENT:
        error = BackendError("the server is busy or broken", **place)
        wait = parse_retry_after(response.headers.get("retry-after"))
        # MinIO says two minutes while it starts, which takes a second: only who limits us is taken at his word.
        return Failure(error, None if wait and wait > PATIENCE_S and response.status != 429 else wait)
    if response.status in (404, 410):
        return MissingBlobError("the server does not have it", **place)
    if response.status in (401, 403):
        return BackendError("the server refuses: look at the credentials", **place)
    if response.status == 416:
        return BackendError("the blob ends early", **place)
    return BackendError("the server refuses", **place)
