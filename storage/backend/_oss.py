"""Backend `oss`: blobs are objects in a bucket of Alibaba Cloud OSS."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from storage.backend._bucket import Bucket
from storage.backend.http import HttpClient, HttpOptions, Request, Response
from storage.backend.signing import Clock, Keys, sign_oss_v1, sign_oss_v4
from storage.errors import ConfigError
from storage.events import Recorder

__all__ = ["Oss"]


class Oss(Bucket):
    """Objects of a bucket, whose keys are blob ids behind a prefix.

    Parameters
    ----------
    bucket, endpoint
        Which bucket, and at which host; they are reached at ``bucket.endpoint``.
    scheme
        ``https`` or ``http``.
    prefix
        Put before each id as it is: ``nydus/``, say.
    keys
        Who asks; None for a bucket that is open to all.
    region
        Sign by version 4, which needs it; without one, by version 1.
    options, recorder
        See `HttpClient`.

    Examples
    --------
    >>> Oss("images", "oss-cn-hangzhou.aliyuncs.com", keys=Keys(key_id, secret), region="cn-hangzhou")
    """

    def __init__(
        self,
        bucket: str,
        endpoint: str,
        *,
        scheme: str = "https",
        prefix: str = "",
        keys: Keys | None = None,
        region: str = "",
        options: HttpOptions | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        if not bucket or not endpoint:
            raise ConfigError("oss needs a bucket and an endpoint", field="bucket_name" if endpoint else "endpoint")
        home = f"{scheme}://{bucket}.{endpoint}"
        auth = None if keys is None else _Signer(bucket, keys, region)
        super().__init__(f"{home}/", prefix, HttpClient(home, options, auth=auth, recorder=recorder))


class _Signer:
    def __init__(self, bucket: str, keys: Keys, region: str) -> None:
        self._bucket = bucket
        self._keys = keys
        self._region = region
        self._clock = Clock()

    def prepare(self, request: Request) -> None:
        """Sign anew: a signature is good for minutes only."""
        key = unquote(urlsplit(request.url).path.removeprefix("/"))
        signed = (request.method, self._bucket, key, request.headers, self._keys)
        now = self._clock.now()
        request.headers |= sign_oss_v4(*signed, self._region, now) if self._region else sign_oss_v1(*signed, now)

    def challenged(self, request: Request, response: Response) -> bool:
        """There are no better credentials than a signature, but one of the right time."""
        return self._clock.corrected(response)
