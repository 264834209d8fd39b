"""A realm that gives bearer tokens: signed as docker-registry verifies them, for users it knows, for a while."""

from __future__ import annotations

import base64
import json
import socket
import time
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from tests.servers.certificates import Authority
from tests.servers.scripted import Asked, Scripted, reply

__all__ = ["Realm"]

ISSUER, SERVICE = "a-realm", "a-registry"


class Realm(Scripted):
    """Gives ``pull`` to everybody it knows, and ``push`` to those who ask for it.

    Attributes
    ----------
    authority
        Signs; the registry trusts its certificate.
    users
        Passwords by name.
    lasts, said
        Seconds that tokens are good for, and that they are said to be.
    """

    def __init__(self, authority: Authority, users: dict[str, str]) -> None:
        self.authority = authority
        self.users = users
        self.lasts = self.said = 60
        self.down = False
        super().__init__(self._answer)

    @property
    def tokens(self) -> list[dict[str, str]]:
        """What was asked for: service and scope of each request."""
        return [{k: v[0] for k, v in parse_qs(urlsplit(a.path).query).items()} for a in self.asked]

    def _answer(self, asked: Asked, wire: socket.socket) -> None:
        kind, _, given = asked.headers.get("authorization", "").partition(" ")
        user, _, password = base64.b64decode(given).decode().partition(":") if kind == "Basic" else ("", "", "")
        if self.down:
            wire.sendall(reply(503))
        elif not user or self.users.get(user) != password:
            wire.sendall(reply(401, b'{"details":"who are you"}'))
        else:
            query = {key: values[0] for key, values in parse_qs(urlsplit(asked.path).query).items()}
            token = self.sign(query.get("scope", ""), user)
            wire.sendall(reply(200, json.dumps({"token": token, "expires_in": self.said}).encode()))

    def sign(self, scope: str, user: str) -> str:
        """A token for a scope."""
        access = []
        if scope:
            kind, name, actions = scope.split(":")
            access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": user, "aud": SERVICE, "exp": now + self.lasts, "nbf": now - 10, "iat": now}
        claims |= {"jti": uuid.uuid4().hex, "access": access}  # type: ignore[dict-item]
        der = self.authority.signed.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = b".".join(_part(part) for part in (header, claims))
        signature = self.authority.private_key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def _part(value: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
