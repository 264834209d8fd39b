"""One blob on its way to a registry, which goes on where it broke (OCI distribution: "Pushing a blob in chunks")."""

from __future__ import annotations

import re
from typing import IO, NamedTuple
from urllib.parse import urljoin

from storage.backend.http import Request, Response, mask_url
from storage.backend.registry import Registry
from storage.errors import BackendError
from storage.oci._manifest import Descriptor

__all__ = ["has_blob", "upload"]

_PIECE = 16 << 20
_RECEIVED = re.compile(r"(?:bytes=)?0-(\d{1,18})")
_FINAL = frozenset({400, 401, 403, 405, 413})
_NO_PIECES = (400, 404, 405, 413, 416, 501)
_BINARY = {"Content-Type": "application/octet-stream"}


class _Place(NamedTuple):
    """Where an upload goes on: its URL, how many bytes are there, and whether the rest must come in one piece."""

    location: str
    done: int = 0
    whole: bool = False


class _PieceRefusedError(Exception):
    """The registry takes no pieces, or not at this place."""


def has_blob(registry: Registry, digest: str) -> bool:
    """Whether the registry has a blob."""
    request = Request("HEAD", registry.url(f"blobs/{digest}"), expected=(200, 404))
    return registry.client.send(request, lambda response: response.status == 200)


def upload(registry: Registry, file: IO[bytes], one: Descriptor) -> None:
    """Send a blob, a large one in pieces.

    What breaks is taken up where the registry says that it is; where it does not know any more, it is begun anew. A
    registry that refuses a piece is given the whole.

    Raises
    ------
    BackendError
        If the registry refuses it, or the retries are used up without progress.
    """
    place: _Place | None = None
    pieces, attempt, best = one.size > _PIECE, 0, 0
    while True:
        try:
            place = place or _begin(registry, pieces)
            while not place.whole and one.size - place.done > _PIECE:
                place = _send_piece(registry, file, one, place)
            _finish(registry, file, one, place)
            return
        except _PieceRefusedError:
            place, pieces = None, False
        except BackendError as error:
            done = place.done if place else 0
            attempt, best = (1, done) if done > best else (attempt + 1, best)
            if attempt > registry.options.http.retry_limit or error.where.get("status") in _FINAL:
                raise
            if has_blob(registry, one.digest):  # it was the answer that was lost
                return
            place = _where(registry, place, one) if place and not place.whole else None


def _begin(registry: Registry, pieces: bool) -> _Place:
    request = Request("POST", registry.url("blobs/uploads/"), {"Content-Length": "0"}, expected=(202,))

    def place_of(response: Response) -> _Place:
        least = response.headers.get("oci-chunk-min-length", "0")
        small = least.isdecimal() and len(least) < 19 and int(least) <= _PIECE
        return _Place(_location(response), whole=not (pieces and small))

    return registry.client.send(request, place_of)


def _send_piece(registry: Registry, file: IO[bytes], one: Descriptor, place: _Place) -> _Place:
    file.seek(place.done)
    piece = file.read(_PIECE)
    end = place.done + len(piece)
    headers = {**_BINARY, "Content-Length": str(len(piece)), "Content-Range": f"{place.done}-{end - 1}"}
    request = Request("PATCH", place.location, headers, piece, stream=True, retries=0, expected=(202, *_NO_PIECES))
    request.where = {"blob": one.digest, "offset": place.done}
    location = registry.client.send(request, lambda response: _location(response) if response.status == 202 else "")
    if not location:
        raise _PieceRefusedError
    return _Place(location, end)


def _finish(registry: Registry, file: IO[bytes], one: Descriptor, place: _Place) -> None:
    """Send what is left, and say what all of it is."""
    url = place.location + ("&" if "?" in place.location else "?") + f"digest={one.digest}"
    headers = {**_BINARY, "Content-Length": str(one.size - place.done)}
    body: bytes | IO[bytes] = file
    if place.done:
        file.seek(place.done)
        body = file.read(_PIECE)
        headers["Content-Range"] = f"{place.done}-{one.size - 1}"
    request = Request("PUT", url, headers, body, stream=True, retries=0, expected=(201, 204))
    request.where = {"blob": one.digest, "offset": place.done}
    registry.client.send(request, lambda response: None)


def _where(registry: Registry, place: _Place, one: Descriptor) -> _Place | None:
    """Where an upload that broke is to go on; None if it is to be begun anew."""
    request = Request("GET", place.location, expected=(200, 204))
    try:
        said, location = registry.client.send(
            request, lambda response: (response.headers.get("range", ""), response.headers.get("location"))
        )
    except BackendError as error:
        if error.where.get("status") is None:
            raise
        return None
    found = _RECEIVED.fullmatch(said)
    # Of "0-0" nobody knows whether it is a byte or none.
    if found is None or not 0 < int(found[1]) < one.size:
        return None
    return _Place(urljoin(place.location, location or place.location), int(found[1]) + 1)


def _location(response: Response) -> str:
    location = response.headers.get("location")
    if location is None:
        raise BackendError("the registry does not say where to upload to", url=mask_url(response.url))
    return urljoin(response.url, location)
