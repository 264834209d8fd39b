"""What must never be seen: passwords, tokens, signatures."""

from __future__ import annotations

from storage.masks import MASK, without_user

__all__ = ["Secret", "mask_url"]


class Secret:
    """A string that shows itself to nobody who does not ask.

    Examples
    --------
    >>> password = Secret("hunter2")
    >>> f"{password!r} {password}"
    '*** ***'
    >>> password.reveal()
    'hunter2'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        self._value: str = value.reveal() if isinstance(value, Secret) else value

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__


def mask_url(url: str) -> str:
    """The URL without what may be secret: user and password, and the query with its signature.

    Examples
    --------
    >>> mask_url("https://me:pw@host/blob?X-Amz-Signature=abc")
    'https://***@host/blob?***'
    """
    shown, mark, _ = without_user(url).partition("#")[0].partition("?")
    return shown + (f"?{MASK}" if mark else "")
