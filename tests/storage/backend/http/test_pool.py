"""Connections under many threads, the two classes of request, and the rate limit."""

from __future__ import annotations

import socket
import threading
import time

from storage.backend import RequestSource, prefetching
from storage.backend.http import HttpClient, HttpOptions, HttpReader, Request
from storage.backend.http._rate import RateLimit
from tests.servers.scripted import Asked, Scripted, answer_of

CONTENT = bytes(range(251)) * 400


def slow(asked: Asked, wire: socket.socket) -> None:
    """Answer after 5 ms."""
    time.sleep(0.005)
    wire.sendall(answer_of(asked, CONTENT))


def reader_of(server: Scripted, connections: int, rate: float = 0) -> HttpReader:
    """A reader over so many connections that has made its first request."""
    client = HttpClient(server.url, HttpOptions(connections=connections, requests_per_second=rate, timeout=20))
    return HttpReader(client, "blob", lambda method: Request(method, server.url + "/blob"))


def test_64_threads_on_4_connections() -> None:
    """64 threads with 10 reads each open 4 connections at most, and the last is not far behind the first."""
    with Scripted(slow) as server:
        reader, done = reader_of(server, 4), []

        def work(number: int) -> None:
            for turn in range(10):
                buffer, offset = bytearray(100), number * 1000 + turn
                reader.read_into(memoryview(buffer), offset)
                assert buffer == CONTENT[offset : offset + 100]
                done.append((number, turn))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 640
        assert server.most <= 4
        # In line in order: nobody is served twice more often than somebody who waits.
        half = [number for number, _ in done[:320]]
        assert min(half.count(n) for n in range(64)) >= 3
        reader._client.close()


def test_more_hosts_than_connections() -> None:
    """Idle connections to other hosts make room: no more are open than allowed."""
    with Scripted(slow) as one, Scripted(slow) as two, Scripted(slow) as three:
        client = HttpClient(one.url, HttpOptions(connections=2))
        for _ in range(3):
            for server in (one, two, three):
                client.send(Request("GET", server.url, {"Range": "bytes=0-9"}), lambda response: response.read(10))
                time.sleep(0.02)
                assert one.open + two.open + three.open <= 2


def test_prefetch_waits_for_users() -> None:
    """With one connection and all in line, every user request goes before every prefetch."""
    with Scripted(slow) as server:
        reader, order, gate = reader_of(server, 1), [], threading.Event()
        reader.read_into(memoryview(bytearray(1)), 0)

        def hold(asked: Asked, wire: socket.socket) -> None:
            gate.wait(5)
            order.append(int(asked.headers["range"].split("=")[1].split("-")[0]))
            wire.sendall(answer_of(asked, CONTENT))

        server.script = hold

        def work(number: int) -> None:
            if number % 2:
                with prefetching():
                    reader.read_into(memoryview(bytearray(1)), number)
            else:
                reader.read_into(memoryview(bytearray(1)), number)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
        threads[0].start()
        while reader._client._pool._free:
            time.sleep(0.001)
        for thread in threads[1:]:
            thread.start()
        while not (
            len(reader._client._pool._lines[RequestSource.ON_DEMAND]) == 9
            and len(reader._client._pool._lines[RequestSource.PREFETCH]) == 10
        ):
            time.sleep(0.001)
        gate.set()
        for thread in threads:
            thread.join()
        assert [number % 2 for number in order] == [0] * 10 + [1] * 10


def test_rate_limit() -> None:
    """20 requests a second: of 50 the last starts after 1.5 s, as a second's worth may go at once."""
    with Scripted(lambda asked, wire: wire.sendall(answer_of(asked, CONTENT))) as server:
        reader, begun = reader_of(server, 4, rate=20), time.monotonic()
        for _ in range(50):
            reader.read_into(memoryview(bytearray(1)), 0)
        assert 1.45 <= time.monotonic() - begun < 2.0


def test_prefetch_takes_only_what_users_leave() -> None:
    """While users owe tokens, prefetch waits; then it takes the next that comes."""
    limit, slept = RateLimit(10), []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    for _ in range(11):
        limit.wait(RequestSource.ON_DEMAND, lambda seconds: None)
    begun = time.monotonic()
    limit.wait(RequestSource.PREFETCH, sleep)
    assert 0.19 <= time.monotonic() - begun < 0.3
