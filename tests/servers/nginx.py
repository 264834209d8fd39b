"""nginx on loopback, serving a folder."""

from __future__ import annotations

from pathlib import Path

from tests.servers.processes import Process, free_port, need

__all__ = ["nginx"]

_CONFIG = """\
daemon off;
master_process off;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    server {{
        listen {listen};
        location / {{ root {root}; {inside} }}
        {more}
    }}
}}
"""


def nginx(
    folder: Path, root: Path, *, socket: Path | None = None, port: int = 0, inside: str = "", more: str = ""
) -> Process:
    """An nginx that serves `root` on a port, or on a unix socket; not started yet.

    Parameters
    ----------
    folder
        For its configuration and logs.
    inside, more
        Directives for ``location /``, and for the server.
    """
    need("nginx")
    folder.mkdir(parents=True, exist_ok=True)
    port = 0 if socket else port or free_port()
    listen = f"unix:{socket}" if socket else f"127.0.0.1:{port}"
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, root=root, listen=listen, inside=inside, more=more))
    return Process(["/usr/sbin/nginx", "-p", str(folder), "-c", str(config)], folder, port=port, path=socket)
