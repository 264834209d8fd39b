"""A relay in front of a real server that breaks answers where a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

from tests.servers.scripted import reset

__all__ = ["Cut", "Relay"]


class Cut(NamedTuple):
    """What happens to one connection: after so many bytes of answers it is closed, reset, or stalls."""

    after: int
    how: str = "close"


class Relay:
    """Passes bytes to and from the server at `port`.

    Parameters
    ----------
    cuts
        Called with the number of each connection, of 0; says what happens to it, or None.

    Attributes
    ----------
    opened, most
        Connections in all, and the most that were open at once.
    """

    def __init__(self, port: int, cuts: Callable[[int], Cut | None] = lambda number: None) -> None:
        self.cuts = cuts
        self.opened = self.open = self.most = 0
        self._upstream = port
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _ = self._listener.accept()
                with self._lock:
                    cut = self.cuts(self.opened)
                    self.opened += 1
                    self.open += 1
                    self.most = max(self.most, self.open)
                threading.Thread(target=self._relay, args=(wire, cut), daemon=True).start()

    def _relay(self, wire: socket.socket, cut: Cut | None) -> None:
        try:
            with wire, socket.create_connection(("127.0.0.1", self._upstream)) as server:
                asking = threading.Thread(target=_pump, args=(wire, server), daemon=True)
                asking.start()
                self._answer(server, wire, cut)
                with contextlib.suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                if cut is not None and cut.how == "reset":
                    # A socket on which a thread waits is not closed, and no reset is sent.
                    wire.shutdown(socket.SHUT_RD)
                    asking.join()
                    reset(wire)
        except OSError:
            pass
        finally:
            with self._lock:
                self.open -= 1

    def _answer(self, server: socket.socket, wire: socket.socket, cut: Cut | None) -> None:
        left = None if cut is None else cut.after
        with contextlib.suppress(OSError):
            while left != 0 and (piece := server.recv(1 << 16 if left is None else min(left, 1 << 16))):
                wire.sendall(piece)
                left = None if left is None else left - len(piece)
        if cut is not None and cut.how == "stall":
            self._stopped.wait(10)
        if cut is None or cut.how != "reset":
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *args: object) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
