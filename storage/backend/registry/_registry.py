"""Backend `registry`: blobs of an image in a container registry (OCI distribution)."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import ssl
import threading
from dataclasses import replace
from urllib.parse import urlsplit

from storage.backend.http import (
    HttpClient,
    HttpReader,
    Metrics,
    ProxyOptions,
    Request,
    Response,
    Secret,
)
from storage.backend.registry._auth import RegistryAuth
from storage.backend.registry._docker import Credentials, docker_credentials
from storage.backend.registry._options import RegistryOptions
from storage.backend.registry._redirects import Redirects, rewritten
from storage.errors import BackendError
from storage.events import Recorder

__all__ = ["Registry"]

_log = logging.getLogger("storage.backend")
_HEX = re.compile(r"[0-9a-f]{64}")
_STALE = (400, 401, 403, 404, 410)
_AUTH_ENV = "IMAGE_PULL_AUTH"


class Registry:
    """Blobs of one repository.

    Parameters
    ----------
    options
        Which, and how.
    recorder
        Where events go.

    Examples
    --------
    >>> Registry(RegistryOptions("127.0.0.1:5000", "library/app")).get_reader(blob_id).blob_size()
    """

    def __init__(self, options: RegistryOptions, recorder: Recorder | None = None) -> None:
        self.options = options
        self._found: Credentials | None = None
        self._auth = RegistryAuth(self._credentials, options.registry_token, options.repo)
        scheme = options.scheme or "https"
        self.client = HttpClient(f"{scheme}://{options.host}", options.http, auth=self._auth, recorder=recorder)
        self._auth.client = self.client
        self._redirects = Redirects()
        self._readers: dict[str, HttpReader] = {}
        self._lock = threading.Lock()
        self._detected = bool(options.scheme)

    @property
    def metrics(self) -> Metrics:
        """What was counted."""
        return self.client.metrics

    def get_reader(self, blob_id: str) -> HttpReader:
        """A reader of the blob; whether the registry has it shows when it is first read.

        Raises
        ------
        BackendError
            If a registry cannot have such a blob, as it is not named by its sha256.
        """
        blob_id = blob_id.removeprefix("sha256:")
        if _HEX.fullmatch(blob_id) is None:
            raise BackendError("a registry names blobs by their sha256", blob=blob_id)
        with self._lock:
            if blob_id not in self._readers:
                self._readers[blob_id] = HttpReader(self.client, blob_id, lambda method: self._blob(method, blob_id))
            return self._readers[blob_id]

    def url(self, path: str) -> str:
        """The URL of a path below the repository, ``manifests/latest`` say; finds out the scheme if need be."""
        with self._lock:
            if not self._detected:
                self.client.home = self._detect()
                self._detected = True
        return f"{self.client.home}/v2/{self.options.repo}/{path}"

    def close(self) -> None:
        """Close idle connections and stop health checks."""
        self.client.close()

    def _blob(self, method: str, blob_id: str) -> Request:
        """A request for a blob, to where the registry redirected it before if that still holds."""
        registry = self.url(f"blobs/sha256:{blob_id}")
        if method == "HEAD":
            return Request("HEAD", registry, redirected=lambda location, response: self._moved(location))
        # A mirror is asked by the registry's own path.
        kept = None if self.options.http.mirrors else self._redirects.get(blob_id)

        def redirected(location: str, response: Response) -> str:
            moved = self._moved(location)
            if urlsplit(response.url).netloc == self.options.host:
                self._redirects.put(blob_id, moved, response)
            return moved

        def refused(response: Response | None) -> str | None:
            location = self._redirects.get(blob_id)
            stale = response is None or (response.url == location and response.status in _STALE)
            if location is None or not stale:
                return None
            self._redirects.drop(blob_id, location)
            return registry

        return Request("GET", kept or registry, redirected=redirected, refused=refused)

    def _moved(self, location: str) -> str:
        return rewritten(location, self.options.blob_url_scheme, self.options.blob_redirected_host)

    def _credentials(self) -> Credentials:
        """Of the environment, the options, or docker's configuration, which is read once."""
        given = (self.options.pull_auth and os.environ.get(_AUTH_ENV)) or self.options.auth.reveal()
        if given:
            return Credentials(Secret(given))
        if self._found is None:
            self._found = docker_credentials(self.options.host) or Credentials(Secret(""))
        return self._found

    def _detect(self) -> str:
        """The registry's URL: https, or http where it speaks no TLS and may be trusted not to."""
        secure, plain = f"https://{self.options.host}", f"http://{self.options.host}"
        once = replace(self.options.http, retry_limit=0, proxy=ProxyOptions(), mirrors=())
        probe = HttpClient(secure, once)
        try:
            probe.send(Request("GET", f"{secure}/v2/", expected=tuple(range(200, 600))), lambda response: None)
        except BackendError as error:
            if not _speaks_no_tls(error.__cause__):
                raise
            if not (self.options.http.skip_verify or _is_loopback(self.options.host)):
                raise BackendError("the registry speaks no TLS: say scheme http if it may not", url=secure) from error
            _log.warning("%s speaks no TLS: it is spoken to in http", self.options.host)
            return plain
        finally:
            probe.close()
        return secure

    def __repr__(self) -> str:
        return f"Registry({self.options.host}/{self.options.repo})"


def _speaks_no_tls(cause: BaseException | None) -> bool:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return False
    return isinstance(cause, ssl.SSLError | ConnectionError)


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
