"""Who we are to a registry: basic credentials, and bearer tokens, kept for each scope while they last."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, urlencode

from storage.backend.http import HttpClient, Request, Response, Secret, mask_url, origin_of
from storage.backend.registry._challenge import Challenge, parse_challenges
from storage.backend.registry._docker import Credentials
from storage.errors import BackendError

__all__ = ["RegistryAuth"]

_log = logging.getLogger("storage.backend")
_CLIENT_ID = "nydus-workbench"
_LASTS_S = 60.0  # a token that does not say; the least that the specification lets it be
_MARGIN_S = 20.0
_MAX_ANSWER = 1 << 20


class _Token(NamedTuple):
    value: Secret
    refresh_at: float
    expires_at: float


class RegistryAuth:
    """Adds ``Authorization`` to requests to the registry, and answers its challenges.

    Parameters
    ----------
    credentials
        Called at each use, as they may change.
    token
        A bearer token to begin with.
    repo
        The repository, of which scopes are.
    """

    def __init__(self, credentials: Callable[[], Credentials], token: Secret, repo: str) -> None:
        self.client: HttpClient | None = None
        self._credentials = credentials
        self._first_token = token
        self._repo = repo
        self._challenge: Challenge | None = None
        self._scopes: dict[str, str] = {}  # by actions
        self._tokens: dict[str, _Token] = {}  # by scope
        self._lock = threading.RLock()

    def prepare(self, request: Request) -> None:
        """Add what the registry wants of us, as far as it is known."""
        value = self._value_for(request)
        if value:
            request.headers["Authorization"] = value

    def challenged(self, request: Request, response: Response) -> bool:
        """Get what the registry asks for; false if we have nothing, or had nothing else."""
        if response.status != 401:
            return False
        refused = request.headers.get("Authorization", "")
        challenges = parse_challenges(response.headers.get("www-authenticate", ""))
        known = [challenge for challenge in challenges if challenge.scheme in ("bearer", "basic")]
        # Harbor answers an expired bearer token with a challenge to be basic; what it wanted before still holds.
        with self._lock:
            if not known:
                return False
            best = min(known, key=lambda challenge: challenge.scheme != "bearer")
            expired = refused.startswith("Bearer ") and best.scheme == "basic" and self._challenge is not None
            if not expired:
                self._challenge = best
                if best.scope:
                    self._scopes[_actions(request)] = best.scope
            self._first_token = Secret("")
            scope = self._scope(request)
            token = self._tokens.get(scope)
            if token is not None and refused == f"Bearer {token.value.reveal()}":
                del self._tokens[scope]
        value = self._value_for(request)
        return bool(value) and value != refused

    def _value_for(self, request: Request) -> str:
        with self._lock:
            if self._first_token:
                return f"Bearer {self._first_token.reveal()}"
            if self._challenge is None:
                return ""
            if self._challenge.scheme == "bearer":
                return f"Bearer {self._token(self._challenge, self._scope(request)).reveal()}"
        basic = self._credentials().basic.reveal()
        return f"Basic {basic}" if basic else ""

    def _scope(self, request: Request) -> str:
        """What the request needs: as the registry said of others like it, if it did."""
        actions = _actions(request)
        return self._scopes.get(actions, f"repository:{self._repo}:{actions}")

    def _token(self, challenge: Challenge, scope: str) -> Secret:
        """The token of a scope: the one that is there, or a new one if it has nearly expired."""
        kept, now = self._tokens.get(scope), time.monotonic()
        if kept is not None and now < kept.refresh_at:
            return kept.value
        try:
            self._tokens[scope] = self._fetch(challenge, scope)
        except BackendError as error:
            if kept is None or now >= kept.expires_at:
                raise
            _log.warning("the token is kept while it lasts, as there is no new one: %s", error)
            return kept.value
        return self._tokens[scope].value

    def _fetch(self, challenge: Challenge, scope: str) -> _Token:
        """Ask the realm for a token: by GET, or where it knows only OAuth2, by POST."""
        assert self.client is not None
        credentials = self._credentials()
        self._check_realm(challenge.realm)
        asked = {"service": challenge.service, "scope": scope, "client_id": _CLIENT_ID}
        if credentials.identity_token:
            form = {**asked, "grant_type": "refresh_token", "refresh_token": credentials.identity_token.reveal()}
            answer = self.client.send(_post(challenge.realm, form, Secret("")), _read)
        else:
            try:
                answer = self.client.send(_get(challenge.realm, asked, credentials.basic), _read)
            except BackendError as error:
                if error.where.get("status") not in (404, 405):
                    raise
                answer = self.client.send(_post(challenge.realm, asked, credentials.basic), _read)
        self.client.metrics.count("tokens")
        return _parse(answer, challenge.realm)

    def _check_realm(self, realm: str) -> None:
        """A registry that we speak to in secret cannot have us say our password aloud."""
        assert self.client is not None
        if origin_of(realm)[0] != "https" and self.client.home.startswith("https:"):
            raise BackendError("the registry wants credentials sent in the clear", url=mask_url(realm), field="realm")


def _actions(request: Request) -> str:
    return "pull" if request.method in ("GET", "HEAD") else "pull,push"


def _authorization(basic: Secret) -> dict[str, str]:
    return {"Authorization": f"Basic {basic.reveal()}"} if basic else {}


def _get(realm: str, asked: dict[str, str], basic: Secret) -> Request:
    joint = "&" if "?" in realm else "?"
    # A challenge names several scopes in one text; realms want each by itself.
    given = {key: value.split() if key == "scope" else value for key, value in asked.items() if value}
    url = realm + joint + urlencode(given, doseq=True, quote_via=quote)
    return Request("GET", url, _authorization(basic), direct=True, expected=(200,))


def _post(realm: str, form: dict[str, str], basic: Secret) -> Request:
    headers = {"Content-Type": "application/x-www-form-urlencoded", **_authorization(basic)}
    return Request("POST", realm, headers, urlencode(form).encode(), direct=True, expected=(200,))


def _read(response: Response) -> bytes:
    return response.read(_MAX_ANSWER)


def _parse(answer: bytes, realm: str) -> _Token:
    try:
        said = json.loads(answer)
        token = said.get("token") or said.get("access_token")
        lasts = float(said.get("expires_in") or _LASTS_S)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not lasts >= 0:
            raise ValueError
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BackendError("the realm's answer is no token", url=mask_url(realm)) from error
    now = time.monotonic()
    return _Token(Secret(token), now + lasts - min(_MARGIN_S, lasts / 5), now + lasts)
