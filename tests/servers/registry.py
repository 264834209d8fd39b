"""docker-registry on loopback, in all the ways that people run it."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.certificates import Authority
from tests.servers.processes import Process, free_port, need
from tests.servers.realm import ISSUER, SERVICE, Realm
from tests.servers.s3 import KEYS, S3Server

__all__ = [
    "docker_registry",
    "on_s3",
    "put_blob",
    "with_htpasswd",
    "with_realm",
    "with_redirects",
    "with_tls",
    "pull_through",
]

Config = dict[str, Any]


def with_realm(realm: Realm) -> Config:
    """Tokens of a realm."""
    url = f"{realm.url}/token"
    bundle = str(realm.authority.ca)
    return {"auth": {"token": {"realm": url, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": bundle}}}


def with_htpasswd(folder: Path, line: str) -> Config:
    """Basic authentication of one user."""
    path = folder / "htpasswd"
    path.write_text(line)
    return {"auth": {"htpasswd": {"realm": "basic", "path": str(path)}}}


def with_tls(authority: Authority) -> Config:
    """TLS with a private authority's certificate."""
    return {"http": {"tls": {"certificate": str(authority.certificate), "key": str(authority.key)}}}


def with_redirects(url: str) -> Config:
    """307 for blobs, to the same path below `url`."""
    return {"middleware": {"storage": [{"name": "redirect", "options": {"baseurl": url}}]}}


def pull_through(url: str) -> Config:
    """A cache of another registry."""
    return {"proxy": {"remoteurl": url}}


def on_s3(store: S3Server) -> Config:
    """Blobs in a bucket, to which requests are redirected with a signature."""
    options = {
        "accesskey": KEYS.access_key_id,
        "secretkey": KEYS.access_key_secret,
        "region": "us-east-1",
        "regionendpoint": f"http://{store.endpoint}",
        "bucket": store.bucket,
        "secure": False,
        "v4auth": True,
    }
    return {"storage": {"filesystem": None, "s3": options}}


def docker_registry(folder: Path, *configs: Config, port: int = 0) -> Process:
    """A registry that keeps its blobs in ``folder/data``; not started yet."""
    need("docker-registry")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    config: Config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    for more in configs:
        for key, value in more.items():
            both = {**config.get(key, {}), **value}
            config[key] = {name: setting for name, setting in both.items() if setting is not None}
    path = folder / "config.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    # AWS_CA_BUNDLE, say, breaks its S3 driver.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return Process(["docker-registry", "serve", str(path)], folder, port=port, env=environment)


def put_blob(url: str, repo: str, content: bytes, headers: dict[str, str] | None = None) -> str:
    """Upload a blob with nothing of ours; its sha256."""
    digest = hashlib.sha256(content).hexdigest()
    ask = urllib.request.Request(f"{url}/v2/{repo}/blobs/uploads/", method="POST", headers=headers or {})
    with urllib.request.urlopen(ask) as answer:
        location = answer.headers["location"]
    joint = "&" if "?" in location else "?"
    more = {"Content-Type": "application/octet-stream", **(headers or {})}
    put = urllib.request.Request(f"{location}{joint}digest=sha256:{digest}", content, more, method="PUT")
    urllib.request.urlopen(put).close()
    return digest
