"""Image references: ``registry.example.com:5000/library/app:v1``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from storage.errors import ConfigError

__all__ = ["Reference", "parse_reference"]

_HUB = "registry-1.docker.io"
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?")
_REPO = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """Where an image is.

    Attributes
    ----------
    host, repo
        Of the registry, with a port if there is one; and the repository.
    tag, digest
        Which image; a digest, if there is one, counts more.
    """

    host: str
    repo: str
    tag: str = "latest"
    digest: str = ""

    @property
    def name(self) -> str:
        """What the registry is asked for."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return f"{self.host}/{self.repo}" + (f"@{self.digest}" if self.digest else f":{self.tag}")


def parse_reference(text: str) -> Reference:
    """A reference as docker takes it: without a host it is of Docker Hub, without a tag it is the latest.

    Raises
    ------
    ConfigError
        If it is none.

    Examples
    --------
    >>> parse_reference("127.0.0.1:5000/app:v1")
    Reference(host='127.0.0.1:5000', repo='app', tag='v1', digest='')
    """
    rest, at, digest = text.removeprefix("docker://").partition("@")
    host, slash, path = rest.partition("/")
    if not slash or not (host == "localhost" or any(mark in host for mark in ".:")):
        host, path = _HUB, rest
    elif host in ("docker.io", "index.docker.io"):
        host = _HUB
    if host == _HUB and "/" not in path:
        path = f"library/{path}"
    repo, colon, tag = path.partition(":")
    good = _HOST.fullmatch(host) and _REPO.fullmatch(repo) and (not colon or _TAG.fullmatch(tag))
    if not good or (at and not _DIGEST.fullmatch(digest)):
        raise ConfigError(f"{text!r} is not an image: say registry.example.com/repo:tag")
    return Reference(host, repo, tag or "latest", digest)
