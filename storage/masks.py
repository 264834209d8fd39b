"""What is shown in the place of a secret, and URLs without theirs."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

__all__ = ["MASK", "without_user"]

MASK = "***"


def without_user(url: str) -> str:
    """The URL with user and password masked, whatever characters they have.

    Where it cannot be told what they are, all is masked up to the last ``@``.

    Examples
    --------
    >>> without_user("http://me:pw@host:80/a"), without_user("me:pw@host"), without_user("http://me:p/w@host")
    ('http://***@host:80/a', '***@host', 'http://***@host')
    """
    if "@" not in url:
        return url
    parts = _split(url)
    if parts is None:
        scheme, mark, _ = url.partition("://")
        return (scheme + mark if mark and "@" not in scheme else "") + f"{MASK}@{url.rpartition('@')[2]}"
    _, at, host = parts.netloc.rpartition("@")
    _, slash, path = parts.path.rpartition("@")
    return urlunsplit(
        parts._replace(netloc=MASK + at + host if at else host, path=f"/{MASK}@{path}" if slash else path)
    )


def _split(url: str) -> SplitResult | None:
    """The parts of a URL that has a host, and one place at most where a password may end; else None."""
    try:
        parts = urlsplit(url)
        host = bool(parts.hostname) and parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError:
        return None
    rest = parts.path + parts.query + parts.fragment
    clear = "@" not in parts.fragment and not ("@" in parts.netloc and "@" in rest)
    return parts if host and clear else None
