"""Real servers as child processes: a free port, a start that is waited for, an end that leaves nothing."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["Process", "free_port", "need"]


def need(*programs: str) -> None:
    """Skip where a program is not installed: `make system-packages` does that."""
    for program in programs:
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            pytest.skip(f"{program} is not installed: make system-packages, as root")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Process:
    """A server that listens on `port` of loopback, or on the unix socket `path`.

    Its environment, if not ours, is `env`. Its output goes to ``<name>.log`` in `folder`.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        port: int = 0,
        path: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.command = list(command)
        self.log = folder / f"{Path(command[0]).name}.log"
        self.folder = folder
        self.port = port
        self.path = path
        self.env = env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 20) -> None:
        """Start, and wait until it listens."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env
            )
        deadline = time.monotonic() + patience
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.command[0]} does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        if self.path is not None:
            family, address = socket.AF_UNIX, str(self.path)
        else:
            family, address = socket.AF_INET, ("127.0.0.1", self.port)  # type: ignore[assignment]
        with socket.socket(family) as sock:
            return sock.connect_ex(address) == 0

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.kill()
