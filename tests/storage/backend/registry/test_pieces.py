"""The parts of the registry backend that are pure: challenges, expiries, rewritten URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.backend.http._retry import backoff, parse_retry_after
from storage.backend.registry._challenge import Challenge, parse_challenges
from storage.backend.registry._redirects import expiry_of, rewritten

BEARER = 'Bearer realm="https://auth.example.com/token",service="r.example.com",scope="repository:a/b:pull,push"'


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        (BEARER, [Challenge("bearer", "https://auth.example.com/token", "r.example.com", "repository:a/b:pull,push")]),
        ('Basic realm="my registry"', [Challenge("basic", "my registry")]),
        ("BASIC realm=plain", [Challenge("basic", "plain")]),
        ('Basic realm="a, b", Bearer realm="c",service=d', [Challenge("basic", "a, b"), Challenge("bearer", "c", "d")]),
        (r'Basic realm="say \"hi\""', [Challenge("basic", 'say "hi"')]),
        ('Negotiate, Basic realm="x"', [Challenge("negotiate"), Challenge("basic", "x")]),
        ("", []),
        ('="', []),
    ],
)
def test_challenges(header: str, challenges: list[Challenge]) -> None:
    """Schemes in any case, quoted commas, escapes, several in one header."""
    assert parse_challenges(header) == challenges


@given(st.text())
def test_any_header(header: str) -> None:
    """Whatever a server says is parsed, in the end."""
    parse_challenges(header)


NOW = 1767225600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("query", "control", "seconds"),
    [
        ("X-Amz-Date=20260101T000000Z&X-Amz-Expires=1200", "", 1200.0),
        ("X-Goog-Date=20251231T235900Z&X-Goog-Expires=100", "", 40.0),
        ("x-oss-date=20260101T000000Z&x-oss-expires=3600", "", 3600.0),
        ("Expires=1767225700&Signature=x", "", 100.0),
        ("se=2026-01-01T00:10:00Z&sig=x", "", 600.0),
        ("Expires=1767225500", "", 0.0),
        ("", "private, max-age=30", 30.0),
        ("Expires=1767225700", "max-age=30", 30.0),
        ("X-Amz-Date=nonsense&X-Amz-Expires=1200", "", None),
        ("", "", None),
    ],
)
def test_expiry(query: str, control: str, seconds: float | None) -> None:
    """Each vendor's way of saying how long a URL is good for; the shortest counts."""
    assert expiry_of(f"https://store/blob?{query}", control, NOW) == seconds


@pytest.mark.parametrize(
    ("scheme", "host", "url"),
    [
        ("", "", "https://store:9000/blob?sig=x"),
        ("http", "", "http://store:9000/blob?sig=x"),
        ("", "other", "https://other:9000/blob?sig=x"),
        ("http", "other:80", "http://other:80/blob?sig=x"),
    ],
)
def test_rewritten(scheme: str, host: str, url: str) -> None:
    """Scheme and host are replaced, the port only if the new host brings one."""
    assert rewritten("https://store:9000/blob?sig=x", scheme, host) == url


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Thu, 01 Jan 2026 00:00:05 GMT", 5.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """A number, a date, a date that is past, and what is neither."""
    assert parse_retry_after(value, NOW) == seconds


@given(st.integers(0, 40), st.none() | st.floats(0, 60), st.floats(0, 1))
def test_backoff(attempt: int, retry_after: float | None, draw: float) -> None:
    """Between half and all of a doubled tenth of a second, up to ten; never before the server says."""
    wait = backoff(attempt, retry_after, draw)
    full = min(0.1 * 2**attempt, 10)
    assert wait >= (retry_after or 0)
    assert full / 2 <= wait <= max(full, retry_after or 0)
