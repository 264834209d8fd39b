"""Backend `s3`: blobs are objects in a bucket of S3, or of a server that speaks like it."""

from __future__ import annotations

from storage.backend._bucket import Bucket
from storage.backend.http import HttpClient, HttpOptions, Request, Response
from storage.backend.signing import Clock, Keys, object_path, sign_s3
from storage.errors import ConfigError
from storage.events import Recorder

__all__ = ["S3"]


class S3(Bucket):
    """Objects of a bucket, whose keys are blob ids behind a prefix.

    Parameters
    ----------
    bucket, region
        Which bucket, and where it is.
    endpoint
        Host, and perhaps port.
    scheme
        ``https`` or ``http``.
    prefix
        Put before each id as it is: ``nydus/``, say.
    keys
        Who asks; None for a bucket that is open to all.
    style
        Where the bucket's name goes: ``path`` for ``endpoint/bucket``, ``virtual`` for ``bucket.endpoint``.
    options, recorder
        See `HttpClient`.

    Examples
    --------
    >>> S3("images", region="eu-west-3", prefix="nydus/", keys=Keys(key_id, secret))
    """

    def __init__(
        self,
        bucket: str,
        *,
        region: str,
        endpoint: str = "s3.amazonaws.com",
        scheme: str = "https",
        prefix: str = "",
        keys: Keys | None = None,
        style: str = "path",
        options: HttpOptions | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        if style not in ("path", "virtual"):
            raise ConfigError(f"{style!r} is neither path nor virtual", field="addressing_style")
        home = f"{scheme}://{endpoint if style == 'path' else f'{bucket}.{endpoint}'}"
        base = f"{home}/{object_path(bucket)}/" if style == "path" else f"{home}/"
        auth = None if keys is None else _Signer(keys, region)
        super().__init__(base, prefix, HttpClient(home, options, auth=auth, recorder=recorder))


class _Signer:
    def __init__(self, keys: Keys, region: str) -> None:
        self._keys = keys
        self._region = region
        self._clock = Clock()

    def prepare(self, request: Request) -> None:
        """Sign anew: a signature is good for minutes only."""
        request.headers |= sign_s3(
            request.method, request.url, request.headers, self._keys, self._region, self._clock.now()
        )

    def challenged(self, request: Request, response: Response) -> bool:
        """There are no better credentials than a signature, but one of the right time."""
        return self._clock.corrected(response)
