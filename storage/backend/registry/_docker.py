"""Credentials as docker keeps them: ``config.json`` and credential helpers."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from storage.backend.http import Secret
from storage.errors import ConfigError

__all__ = ["Credentials", "docker_credentials"]

_log = logging.getLogger("storage.backend")
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HELPER_S = 10
_NO_CREDENTIALS = "credentials not found"


class Credentials(NamedTuple):
    """Who we are to a registry.

    Attributes
    ----------
    basic
        Base64 of ``user:password``; empty for nobody.
    identity_token
        Given to the realm instead, as a refresh token; empty for none.
    """

    basic: Secret
    identity_token: Secret = Secret("")


def docker_credentials(host: str) -> Credentials | None:
    """What docker knows of a registry: of its own helper, the common store, or the file itself.

    The file is ``config.json`` in the folder that ``DOCKER_CONFIG`` names, else in ``~/.docker``.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a helper fails; names it.
    """
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError("docker's configuration cannot be read", path=path) from error
    if not isinstance(config, dict):
        raise ConfigError("docker's configuration is not an object", path=path)
    keys = _keys_of(host)
    helpers = _object(config, "credHelpers")
    for key in keys:
        if isinstance(helpers.get(key), str):
            return _ask(helpers[key], key)
    if isinstance(config.get("credsStore"), str):
        for key in keys:
            if (found := _ask(config["credsStore"], key)) is not None:
                return found
    auths = _object(config, "auths")
    known = {_bare(key): entry for key, entry in auths.items() if isinstance(entry, dict)}
    return next((_entry(known[_bare(key)], path) for key in keys if _bare(key) in known), None)


def _object(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _keys_of(host: str) -> list[str]:
    return ["https://index.docker.io/v1/", *_HUB] if host in _HUB else [host]


def _bare(key: str) -> str:
    """The host of a key, which may be a URL."""
    return key.split("://", 1)[-1].split("/", 1)[0]


def _entry(entry: dict[str, Any], path: Path) -> Credentials | None:
    token = Secret(str(entry.get("identitytoken") or ""))
    auth = str(entry.get("auth") or "")
    if not auth and entry.get("username"):
        return Credentials(_basic(str(entry["username"]), str(entry.get("password") or "")), token)
    try:
        user, colon, _ = base64.b64decode(auth, validate=True).partition(b":")
    except binascii.Error as error:
        raise ConfigError("docker's configuration has an auth that is not base64", path=path) from error
    if not colon and not token:
        return None
    return Credentials(Secret(auth if user else ""), token)


def _ask(helper: str, key: str) -> Credentials | None:
    """Ask a helper program: ``docker-credential-<helper> get``."""
    program = f"docker-credential-{helper}"
    if not helper.replace("-", "").replace("_", "").isalnum():
        raise ConfigError("a credential helper is a name", field="credHelpers")
    try:
        done = subprocess.run([program, "get"], input=key.encode(), capture_output=True, timeout=_HELPER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"the credential helper {program} cannot be run", field="credHelpers") from error
    if done.returncode != 0:
        if _NO_CREDENTIALS not in (done.stdout + done.stderr).decode("utf-8", "replace"):
            _log.warning("the credential helper %s fails for %s", program, key)
        return None
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"the credential helper {program} says what is no answer", field="credHelpers") from error
    return Credentials(Secret(""), Secret(secret)) if user == "<token>" else Credentials(_basic(user, secret))


def _basic(user: str, password: str) -> Secret:
    return Secret(base64.b64encode(f"{user}:{password}".encode()).decode())
