"""Backend `http-proxy`: a server has the blobs, over TCP or a unix socket."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from storage.backend._base import BlobReader
from storage.backend._ids import check_blob_id
from storage.backend.http import HttpClient, HttpOptions, HttpReader, Request, mask_url
from storage.backend.signing import object_path
from storage.errors import ConfigError
from storage.events import Recorder

__all__ = ["HttpProxy"]


class HttpProxy:
    """Blobs below a path of a server: HEAD for their size, GET with Range for their content.

    Parameters
    ----------
    addr
        ``http://host:port``, ``https://host``, or the path of a unix socket.
    path
        Where blobs are, each by its id. Behind a socket without a path there is one blob, at ``/``, whatever
        its id (upstream, which takes no path over a socket: http_proxy.rs).
    options, recorder
        See `HttpClient`.

    Raises
    ------
    ConfigError
        If `addr` is neither.

    Examples
    --------
    >>> HttpProxy("http://127.0.0.1:9000", "/v2/library/app/blobs")
    >>> HttpProxy("/run/blob.sock")
    """

    def __init__(
        self, addr: str, path: str = "", *, options: HttpOptions | None = None, recorder: Recorder | None = None
    ) -> None:
        self.addr = addr
        is_socket = addr.startswith("/") and not addr.startswith("//")
        parts = urlsplit(addr if not is_socket else "http://localhost")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("is neither a URL nor the path of a socket", field="addr")
        if is_socket and not Path(addr).is_socket():
            raise ConfigError("there is no such socket", field="addr", path=addr)
        self._home = f"{parts.scheme}://{parts.netloc}"
        self._folder = "/".join(part for part in (parts.path + "/" + path).split("/") if part)
        self._single = is_socket and not self._folder
        self.client = HttpClient(self._home, options, recorder=recorder, socket=addr if is_socket else "")

    def get_reader(self, blob_id: str) -> BlobReader:
        """A reader of the blob at its URL."""
        check_blob_id(blob_id)
        names = [name for name in (self._folder, "" if self._single else blob_id) if name]
        url = f"{self._home}/{object_path('/'.join(names))}"
        return HttpReader(self.client, blob_id, lambda method: Request(method, url))

    def close(self) -> None:
        """Close idle connections."""
        self.client.close()

    def __repr__(self) -> str:
        return f"HttpProxy({mask_url(self.addr)!r}, {'/' + self._folder!r})"
