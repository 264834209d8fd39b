"""``WWW-Authenticate``, parsed (RFC 9110, 11.6.1); and which scope a request needs."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Challenge", "parse_challenges"]

_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)(?:\s+(?!=)|(?=,)|$)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class Challenge(NamedTuple):
    """What a registry asks for.

    Attributes
    ----------
    scheme
        ``basic`` or ``bearer``; others as they are, in lower case.
    realm, service, scope
        Of a bearer token: the URL that gives it, for whom, and for what. Empty where it is not said.
    """

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def parse_challenges(header: str) -> list[Challenge]:
    """All challenges of a header, in order; what is none is skipped.

    Examples
    --------
    >>> parse_challenges('Bearer realm="https://auth/token",service="registry",scope="repository:a/b:pull,push"')
    [Challenge(scheme='bearer', realm='https://auth/token', service='registry', scope='repository:a/b:pull,push')]
    """
    found: list[Challenge] = []
    position = 0
    while (scheme := _SCHEME.match(header, position)) is not None:
        position = scheme.end()
        values: dict[str, str] = {}
        while (parameter := _PARAMETER.match(header, position)) is not None:
            quoted, plain = parameter[2], parameter[3]
            values[parameter[1].lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            position = parameter.end()
        known = {key: values[key] for key in ("realm", "service", "scope") if key in values}
        found.append(Challenge(scheme[1].lower(), **known))
    return found
