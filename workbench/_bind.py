"""Templates: functions whose global names are filled in, for plain Python as for numba."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["bind", "pick"]

T = TypeVar("T")


def pick(several: Sequence[T], number: int) -> T:
    """One of several named tuples; compiled code is given it by reference."""
    return several[number]


def bind(function: Callable[..., Any], /, **names: Any) -> Callable[..., Any]:
    """The same function with some of its global names meaning something else: a template, filled in."""
    assert isinstance(function, types.FunctionType)
    bound = types.FunctionType(
        function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__
    )
    bound.__module__ = function.__module__
    # Compiled with it, whatever package they are from.
    vars(bound)["bound"] = frozenset(names)
    return bound
