"""Where a registry keeps its blobs: redirect URLs, kept until they expire."""

from __future__ import annotations

import calendar
import re
import threading
import time
from urllib.parse import parse_qs, urlsplit, urlunsplit

from storage.backend.http import Response

__all__ = ["Redirects", "expiry_of", "rewritten"]

_SHARE = 0.9  # a URL is not used in the last tenth of its time: clocks differ, and a read takes some


def expiry_of(url: str, cache_control: str = "", now: float | None = None) -> float | None:
    """Seconds that a presigned URL is good for, or None if it does not say.

    Known are S3's, Google's and Aliyun's V4 (``X-*-Date`` with ``X-*-Expires``), the older ``Expires`` in
    seconds since 1970, Azure's ``se``, and a ``max-age`` of the redirect itself.

    Examples
    --------
    >>> expiry_of("https://s3/blob?X-Amz-Date=20260101T000000Z&X-Amz-Expires=60", now=1767225600.0)
    60.0
    """
    now = time.time() if now is None else now
    query = {key.lower(): values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    ends: list[float] = []
    for vendor in ("x-amz", "x-goog", "x-oss"):
        start, lasts = query.get(f"{vendor}-date", ""), query.get(f"{vendor}-expires", "")
        if lasts.isdecimal() and (since := _time(start, "%Y%m%dT%H%M%SZ")) is not None:
            ends.append(since + int(lasts))
    if query.get("expires", "").isdecimal():
        ends.append(float(query["expires"]))
    if (end := _time(query.get("se", ""), "%Y-%m-%dT%H:%M:%SZ")) is not None:
        ends.append(end)
    if (age := re.search(r"max-age=(\d{1,9})", cache_control)) is not None:
        ends.append(now + int(age[1]))
    return max(min(ends) - now, 0.0) if ends else None


def _time(text: str, layout: str) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(text, layout)))
    except ValueError:
        return None


def rewritten(url: str, scheme: str, host: str) -> str:
    """The URL with another scheme and host, where these are given; a host may bring its port."""
    parts = urlsplit(url)
    netloc = parts.netloc
    if host:
        keep_port = parts.port is not None and not re.search(r":\d+$", host)
        netloc = f"{host}:{parts.port}" if keep_port else host
    return urlunsplit((scheme or parts.scheme, netloc, parts.path, parts.query, ""))


class Redirects:
    """Where blobs were redirected to. Any thread may ask."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, float | None]] = {}
        self._lock = threading.Lock()

    def put(self, blob_id: str, location: str, response: Response) -> None:
        """The registry redirects a blob there."""
        lasts = expiry_of(location, response.headers.get("cache-control", ""))
        until = None if lasts is None else time.monotonic() + lasts * _SHARE
        with self._lock:
            self._kept[blob_id] = (location, until)

    def get(self, blob_id: str) -> str | None:
        """Where the blob is, if that still holds."""
        with self._lock:
            location, until = self._kept.get(blob_id, (None, None))
            if until is not None and time.monotonic() >= until:
                del self._kept[blob_id]
                return None
            return location

    def drop(self, blob_id: str, location: str) -> None:
        """It is not there any more."""
        with self._lock:
            if self._kept.get(blob_id, ("",))[0] == location:
                del self._kept[blob_id]
