"""HTTP for backends: pooled connections, deadlines, retries, proxies and mirrors, ranges into the caller's buffer."""

from storage.backend.http._client import HttpClient
from storage.backend.http._messages import Auth, Failure, Request, Response
from storage.backend.http._metrics import Metrics
from storage.backend.http._options import HttpOptions, MirrorOptions, ProxyOptions
from storage.backend.http._reader import HttpReader
from storage.backend.http._secret import Secret, mask_url

__all__ = [
    "Auth",
    "Failure",
    "HttpClient",
    "HttpOptions",
    "HttpReader",
    "Metrics",
    "MirrorOptions",
    "ProxyOptions",
    "Request",
    "Response",
    "Secret",
    "mask_url",
]
