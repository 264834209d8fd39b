"""AWS Signature Version 4 as S3 wants it (its API reference: "Using the Authorization header")."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from storage.backend.signing._keys import Keys, derive, iso_basic

__all__ = ["sign_s3"]

_EMPTY = hashlib.sha256(b"").hexdigest()
_SIGNED = frozenset({"host", "range"})


def sign_s3(
    method: str, url: str, headers: Mapping[str, str], keys: Keys, region: str, when: datetime
) -> dict[str, str]:
    """Headers to add to a request without body or query.

    Signed are the host, the range and all ``x-amz-*``; what a proxy may add or change on the way is not.

    Parameters
    ----------
    method, url, headers
        The request. `url` is what is sent, its path quoted; a ``Host`` in `headers` goes before the URL's.
    keys, region
        Who asks, and where.
    when
        Now; servers allow 15 minutes.
    """
    parts, stamp = urlsplit(url), iso_basic(when)
    added = {"x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if keys.session_token:
        added["x-amz-security-token"] = keys.session_token
    given = {"host": parts.netloc.rpartition("@")[2]} | {name.lower(): value for name, value in headers.items()}
    signed = {name: value for name, value in given.items() if name in _SIGNED or name.startswith("x-amz-")} | added
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    canonical = f"{method}\n{parts.path or '/'}\n{parts.query}\n{lines}\n{names}\n{_EMPTY}"
    scope = (stamp[:8], region, "s3", "aws4_request")
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    key = derive("AWS4" + keys.access_key_secret, *scope)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"{keys.access_key_id}/{'/'.join(scope)}"
    return added | {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    }
