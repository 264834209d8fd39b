"""Large blobs go to a real docker-registry in pieces, and what breaks on the way goes on where it broke."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from storage.backend.http import HttpOptions, _client
from storage.errors import BackendError
from storage.oci import _upload, push
from tests.servers.processes import Process
from tests.servers.registry import docker_registry
from tests.servers.scripted import Asked, Scripted, reply
from tests.storage.oci.test_push_broken import is_whole, layout_of

_PIECE = 1 << 20
_SIZE = 5 * _PIECE + 1234


class Front(NamedTuple):
    """A server before a registry, and the registry."""

    server: Scripted
    behind: Process

    def sent(self, method: str) -> int:
        """Bytes of bodies that were sent to it by a method, those of the large blob."""
        return sum(len(one.body) for one in self.server.asked if one.method == method and len(one.body) > 1000)

    def push(self, layout: Path, retries: int = 2) -> None:
        """Push through it."""
        host = self.server.url.removeprefix("http://")
        push(layout, f"{host}/app:v1", scheme="http", http=HttpOptions(retry_limit=retries, timeout=5))


Answer = Callable[[Callable[[], bytes], socket.socket], bool | None]
"""What the front does with a request that it could pass on."""


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 1 MiB, short pauses, and no credentials."""
    monkeypatch.setattr(_upload, "_PIECE", _PIECE)
    monkeypatch.setattr(_client, "backoff", lambda attempt, retry_after: 0.01)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """A front that passes all on; `faults` of the test change that."""
    with docker_registry(tmp_path / "registry") as behind, Scripted(passing(lambda: behind.port, {})) as server:
        yield Front(server, behind)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image with one large layer."""
    return layout_of(tmp_path / "layout", _SIZE)


def passing(port: Callable[[], int], faults: dict[tuple[str, int], Answer]) -> Callable[[Asked, socket.socket], bool]:
    """A script that passes requests on, but for the n-th of a method, of which something else comes."""
    counts: dict[str, int] = {}

    def script(asked: Asked, wire: socket.socket) -> bool:
        number = counts[asked.method] = counts.get(asked.method, 0) + 1

        def pass_on() -> bytes:
            connection = http.client.HTTPConnection("127.0.0.1", port())
            connection.request(asked.method, asked.path, asked.body or None, asked.headers)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() != "content-length"}
            length = int(answer.headers.get("content-length") or 0)
            whole = reply(answer.status, answer.read(), headers, length=length)
            connection.close()
            return whole

        fault = faults.get((asked.method, number))
        if fault is not None:
            return bool(fault(pass_on, wire))
        wire.sendall(pass_on())
        return False

    return script


def lost(pass_on: Callable[[], bytes], wire: socket.socket) -> bool:
    """The request arrives, its answer does not."""
    pass_on()
    return True


def dropped(pass_on: Callable[[], bytes], wire: socket.socket) -> bool:
    """The request does not arrive."""
    return True


def broken(pass_on: Callable[[], bytes], wire: socket.socket) -> None:
    """The front says that it cannot reach the registry."""
    wire.sendall(reply(502))


def refused(status: int) -> Answer:
    """The registry does not do such a thing."""
    return lambda pass_on, wire: wire.sendall(reply(status))


def test_in_pieces(front: Front, layout: Path) -> None:
    """Five pieces, and the rest with the digest; each byte once."""
    front.push(layout)
    assert is_whole(front.behind, layout, "app", "v1")
    assert (front.sent("PATCH"), front.sent("PUT")) == (5 * _PIECE, 1234)


@pytest.mark.parametrize("fault", [dropped, broken])
@pytest.mark.parametrize("number", [2, 3, 5])
def test_goes_on(number: int, fault: Answer, front: Front, layout: Path) -> None:
    """A piece that does not arrive is sent again, and nothing else is."""
    front.server.script = passing(lambda: front.behind.port, {("PATCH", number): fault})
    front.push(layout)
    assert is_whole(front.behind, layout, "app", "v1")
    assert (front.sent("PATCH"), front.sent("PUT")) == (6 * _PIECE, 1234)
    assert [asked.method for asked in front.server.asked].count("GET") == 1


def test_each_piece_breaks(front: Front, layout: Path) -> None:
    """Retries are for a piece: a blob may break more often than that, as long as it gets on."""
    faults: dict[tuple[str, int], Answer] = {("PATCH", number): broken for number in (2, 4, 6, 8)}
    front.server.script = passing(lambda: front.behind.port, faults)
    front.push(layout, retries=1)
    assert is_whole(front.behind, layout, "app", "v1")
    assert front.sent("PATCH") == 9 * _PIECE


def test_begins_anew(front: Front, layout: Path) -> None:
    """docker-registry forgets an upload of which it has more than it said: that one is begun anew."""
    front.server.script = passing(lambda: front.behind.port, {("PATCH", 3): lost})
    front.push(layout)
    assert is_whole(front.behind, layout, "app", "v1")
    assert (front.sent("PATCH"), front.sent("PUT")) == (8 * _PIECE, 1234)


def test_last_answer_is_lost(front: Front, layout: Path) -> None:
    """Where all of it has arrived and only that was not said, nothing is sent again."""
    front.server.script = passing(lambda: front.behind.port, {("PUT", 2): lost})  # the first is of the configuration
    front.push(layout)
    assert is_whole(front.behind, layout, "app", "v1")
    assert (front.sent("PATCH"), front.sent("PUT")) == (5 * _PIECE, 1234)


@pytest.mark.parametrize("status", [400, 404, 405, 416, 501])
def test_no_pieces(status: int, front: Front, layout: Path) -> None:
    """A registry that refuses pieces is given the whole."""
    front.server.script = passing(lambda: front.behind.port, {("PATCH", 1): refused(status)})
    front.push(layout)
    assert is_whole(front.behind, layout, "app", "v1")
    assert (front.sent("PATCH"), front.sent("PUT")) == (_PIECE, _SIZE)


def test_gives_up(front: Front, layout: Path) -> None:
    """Without progress the retries are used up: one error that names blob and place, and no tag."""
    faults: dict[tuple[str, int], Answer] = {("PATCH", number): broken for number in range(2, 9)}
    front.server.script = passing(lambda: front.behind.port, faults)
    with pytest.raises(BackendError, match="status 502") as failed:
        front.push(layout, retries=2)
    assert failed.value.where["offset"] == _PIECE
    assert not is_whole(front.behind, layout, "app", "v1")
    assert front.sent("PATCH") == 4 * _PIECE
    front.server.script = passing(lambda: front.behind.port, {})
    front.push(layout)
    assert is_whole(front.behind, layout, "app", "v1")
