"""Real servers as child processes, on ports of loopback that nobody else has."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

__all__ = ["command", "free_port", "running", "wait_for"]

_PATIENCE_S = 30.0


def command(name: str, package: str) -> str:
    """The path of a program, of the environment or the system; skips the test where there is none."""
    place = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=place)
    if found is None:
        pytest.skip(f"{name} is not installed ({package})")
    return found


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when somebody listens on the port."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args!r} does not listen; it ended with {process.poll()}")


@contextlib.contextmanager
def running(
    arguments: Sequence[str | Path], port: int, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on `port`, with its output in `folder`; it is killed in the end."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*map(str, arguments)], cwd=folder, env={**keep, **(environment or {})}, stdout=log, stderr=log
        )
    try:
        wait_for(port, process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
