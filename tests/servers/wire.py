"""Two network namespaces and a wire between them that takes its time: real TCP over a link of known delay and rate.

Each end is a TUN device; a process of its own carries the packets over and holds each back for the delay (not every
kernel has netem). The rate is the kernel's token bucket (``tc tbf``) at both ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.processes import need

__all__ = ["Wire"]

_TUNSETIFF, _TUN_NO_PI = 0x400454CA, 0x1001
_CLONE_NEWNET = 0x40000000
_PACKET = 1 << 16


class Wire:
    """A namespace for who asks and one for who answers, as long as the context lasts.

    Parameters
    ----------
    rtt_ns
        Nanoseconds that a packet and its answer are under way, together.
    bandwidth
        Bytes a second, in each direction.
    """

    near, far = "10.97.0.1", "10.97.0.2"

    def __init__(self, rtt_ns: int, bandwidth: int) -> None:
        self.rtt_ns = rtt_ns
        self.bandwidth = bandwidth
        self.asking, self.answering = (f"{side}-{os.getpid()}" for side in ("asking", "answering"))
        self._carrier: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Wire:
        need("ip", "tc")
        if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
            pytest.skip("network namespaces need root and /dev/net/tun")
        try:
            for name in (self.asking, self.answering):
                _run("ip", "netns", "add", name)
            command = [sys.executable, "-m", "tests.servers.wire", self.asking, self.answering, str(self.rtt_ns // 2)]
            self._carrier = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert self._carrier.stdout is not None
            if self._carrier.stdout.readline() != b"ready\n":
                pytest.skip("no TUN devices can be made in network namespaces here")
            self._set_up(self.asking, self.near, self.far)
            self._set_up(self.answering, self.far, self.near)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *args: object) -> None:
        if self._carrier is not None:
            self._carrier.kill()
            self._carrier.communicate()
        for name in (self.asking, self.answering):
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)

    def _set_up(self, name: str, address: str, peer: str) -> None:
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", name, "address", "add", address, "peer", peer, "dev", "wire")
        _run("ip", "-n", name, "link", "set", "wire", "up")
        rate = ("rate", f"{8 * self.bandwidth}bit", "burst", "4000", "limit", "4000000")
        _run("tc", "-n", name, "qdisc", "add", "dev", "wire", "root", "tbf", *rate)

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Have this thread, and those that it starts, in one of the namespaces."""
        with Path("/proc/thread-self/ns/net").open() as outside:
            _enter(f"/run/netns/{name}")
            try:
                yield
            finally:
                _setns(outside.fileno())


def _run(*command: str) -> None:
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(command[:4])}: {done.stderr.strip()}")


def _setns(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _enter(path: str) -> None:
    with Path(path).open() as namespace:
        _setns(namespace.fileno())


def _tun(name: str) -> int:
    """A TUN device in a namespace."""
    _enter(f"/run/netns/{name}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"wire", _TUN_NO_PI))
    return device


def _carry(one: int, other: int, delay: int) -> None:
    """Packets from each end to the other, each so many nanoseconds later."""
    under_way: dict[int, deque[tuple[int, bytes]]] = {one: deque(), other: deque()}
    while True:
        due = min((packets[0][0] for packets in under_way.values() if packets), default=None)
        timeout = None if due is None else max(due - time.monotonic_ns(), 0) / 1e9
        for end in select.select([one, other], [], [], timeout)[0]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet = os.read(end, _PACKET)
                    under_way[other if end == one else one].append((time.monotonic_ns() + delay, packet))
        for end, packets in under_way.items():
            while packets and packets[0][0] <= time.monotonic_ns():
                with contextlib.suppress(OSError):  # the other end is not up yet
                    os.write(end, packets.popleft()[1])


def main() -> None:
    """Carry, between two namespaces that are there already."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(9))
    ends = [_tun(name) for name in sys.argv[1:3]]
    print("ready", flush=True)
    _carry(*ends, int(sys.argv[3]))


if __name__ == "__main__":
    main()
