"""Signatures of Alibaba Cloud OSS, versions 1 and 4 (its developer reference: "Signature version ...")."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from storage.backend.signing._keys import Keys, derive, iso_basic, object_path

__all__ = ["sign_oss_v1", "sign_oss_v4"]


def sign_oss_v1(
    method: str, bucket: str, key: str, headers: Mapping[str, str], keys: Keys, when: datetime
) -> dict[str, str]:
    """Headers to add to a request without query, under version 1: HMAC-SHA1, no region.

    Parameters
    ----------
    method, bucket, key, headers
        The request; `key` is not quoted.
    keys
        Who asks.
    when
        Now; servers allow 15 minutes.
    """
    date = format_datetime(when.astimezone(UTC), usegmt=True)
    added = {"Date": date} | ({"x-oss-security-token": keys.session_token} if keys.session_token else {})
    given = {name.lower(): value for name, value in ({**headers, **added}).items()}
    own = "".join(f"{name}:{given[name]}\n" for name in sorted(given) if name.startswith("x-oss-"))
    md5, content_type = given.get("content-md5", ""), given.get("content-type", "")
    text = f"{method}\n{md5}\n{content_type}\n{date}\n{own}/{bucket}/{key}"
    signature = hmac.digest(keys.access_key_secret.encode(), text.encode(), "sha1")
    return added | {"Authorization": f"OSS {keys.access_key_id}:{base64.b64encode(signature).decode()}"}


def sign_oss_v4(
    method: str, bucket: str, key: str, headers: Mapping[str, str], keys: Keys, region: str, when: datetime
) -> dict[str, str]:
    """The same under version 4: HMAC-SHA256 with a key for one day and region; the range is signed, too."""
    stamp = iso_basic(when)
    added = {"x-oss-content-sha256": "UNSIGNED-PAYLOAD", "x-oss-date": stamp}
    if keys.session_token:
        added["x-oss-security-token"] = keys.session_token
    given = {name.lower(): value for name, value in ({**headers, **added}).items()}
    more = ["range"] if "range" in given else []
    default = ("content-type", "content-md5")
    signed = sorted(name for name in given if name.startswith("x-oss-") or name in default or name in more)
    lines = "".join(f"{name}:{given[name].strip()}\n" for name in signed)
    path = object_path(f"/{bucket}/{key}")
    canonical = f"{method}\n{path}\n\n{lines}\n{';'.join(more)}\nUNSIGNED-PAYLOAD"
    scope = (stamp[:8], region, "oss", "aliyun_v4_request")
    text = "\n".join(("OSS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    derived = derive("aliyun_v4" + keys.access_key_secret, *scope)
    signature = hmac.new(derived, text.encode(), hashlib.sha256).hexdigest()
    additional = f"AdditionalHeaders={';'.join(more)}," if more else ""
    credential = f"{keys.access_key_id}/{'/'.join(scope)}"
    return added | {"Authorization": f"OSS4-HMAC-SHA256 Credential={credential},{additional}Signature={signature}"}
