"""Times that hold within a fifth, measured on machines that have other things to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

__all__ = ["in_time", "punctual"]

_Given = ParamSpec("_Given")


class LateError(AssertionError):
    """It took too long."""


def in_time(spent: float, seconds: float) -> None:
    """Something took so long, and a fifth more at most."""
    assert spent >= seconds
    if spent >= seconds * 1.2:
        raise LateError(f"{spent:.3f} s are more than {seconds} s and a fifth")


def punctual(test: Callable[_Given, None]) -> Callable[_Given, None]:
    """A test of times: one that was late has two more tries, as it may have been the machine that was."""

    @wraps(test)
    def tries(*arguments: _Given.args, **fixtures: _Given.kwargs) -> None:
        for _ in range(2):
            try:
                return test(*arguments, **fixtures)
            except LateError:
                continue
        return test(*arguments, **fixtures)

    return tries
