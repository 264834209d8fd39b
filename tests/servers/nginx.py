"""nginx over a folder, on a port of loopback or a unix socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.process import command, free_port, running

__all__ = ["Nginx", "nginx"]

_CONFIGURATION = """
daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; default_type application/octet-stream;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  server {{ listen 127.0.0.1:{port}; listen unix:{socket}; root {root}; {more} }}
}}
"""


class Nginx(NamedTuple):
    """A running server.

    Attributes
    ----------
    port, socket
        Where it listens.
    root
        What it serves.
    process
        Its process.
    """

    port: int
    socket: Path
    root: Path
    process: Any

    @property
    def url(self) -> str:
        """Over TCP."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def nginx(folder: Path, more: str = "", port: int = 0) -> Iterator[Nginx]:
    """Serve ``folder/root``; `more` goes into the server's block."""
    program, number = command("nginx", "Debian: nginx-light"), port or free_port()
    root, socket = folder / "root", folder / "nginx.sock"
    root.mkdir(exist_ok=True)
    socket.unlink(missing_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    text = _CONFIGURATION.format(port=number, socket=socket, root=root, more=more)
    (folder / "nginx.conf").write_text(text)
    arguments = [program, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
    with running(arguments, number, folder) as process:
        yield Nginx(number, socket, root, process)
