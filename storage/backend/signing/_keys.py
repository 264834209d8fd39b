"""What all signatures are made of."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

__all__ = ["Keys", "derive", "iso_basic", "object_path"]


@dataclass(frozen=True)
class Keys:
    """An access key; only its id is ever shown.

    Attributes
    ----------
    access_key_id, access_key_secret
        The pair.
    session_token
        Of temporary keys; empty for none.
    """

    access_key_id: str
    access_key_secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def object_path(key: str) -> str:
    """A key as a path in a URL: UTF-8, all but letters, digits, ``-_.~`` and the slash in percents."""
    return quote(key, safe="/-_.~")


def iso_basic(when: datetime) -> str:
    """A time as signatures have it: ``20261124T132500Z``."""
    return when.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def derive(secret: str, *scope: str) -> bytes:
    """A key for one day, region and service, derived step by step."""
    key = secret.encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key
