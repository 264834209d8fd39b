"""Settings of backend `registry`; named as nydusd names them."""

from __future__ import annotations

from dataclasses import dataclass, field

from storage.backend.http import HttpOptions, Secret
from storage.errors import ConfigError

__all__ = ["RegistryOptions"]


@dataclass(frozen=True)
class RegistryOptions:
    """Where an image's blobs are, and who may read them.

    Attributes
    ----------
    host, repo
        ``registry.example.com:5000`` and ``library/app``.
    scheme
        ``http`` or ``https``; found out if empty.
    auth
        Base64 of ``user:password``. What ``IMAGE_PULL_AUTH`` says in the environment comes before it; without
        either, docker's own configuration is asked.
    registry_token
        A bearer token to begin with.
    blob_url_scheme, blob_redirected_host
        Put in the place of scheme and host of where blobs are redirected to.
    pull_auth
        Whether ``IMAGE_PULL_AUTH`` is meant for it: it is for the registry of the image alone.
    http
        How to talk.
    """

    host: str
    repo: str
    scheme: str = ""
    auth: Secret = field(default=Secret(""))
    registry_token: Secret = field(default=Secret(""))
    blob_url_scheme: str = ""
    blob_redirected_host: str = ""
    pull_auth: bool = True
    http: HttpOptions = field(default_factory=HttpOptions)

    def __post_init__(self) -> None:
        for name in ("scheme", "blob_url_scheme"):
            if getattr(self, name) not in ("", "http", "https"):
                raise ConfigError("a scheme is http or https", field=name)
        for name in ("host", "repo"):
            if not getattr(self, name):
                raise ConfigError("a registry has a host and a repository", field=name)
