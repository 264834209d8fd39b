"""What makes two settings the same, whichever process they are made in: what they do, not what they are called."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from storage.plan import Amplify, Batches
from workbench.policy import EvictionPolicy
from workbench.policy.prefetch import PrefetchPolicy

__all__ = ["spelled"]

# What code may refer to and depend on; what it has learned so far, in lists and objects, is no part of it.
_SETTLED = (bool, int, float, str, bytes, tuple, types.FunctionType, type)


def spelled(value: Any) -> str:
    """A text that is the same for what is the same.

    A built-in policy is its name. One of one's own is its functions: their code, and what that closes over or finds by
    name in its module; a class is its methods, and those of its bases.
    """
    if isinstance(value, EvictionPolicy):
        functions = () if value.specialised else (value.arena, *value.functions)
        return "\n".join([value.name, *(line for one in functions for line in _lines(one, set()))])
    if isinstance(value, Batches):
        return f"{spelled(value.rows)} in {spelled(value.first)}"
    if isinstance(value, Amplify):
        return f"{value.name}, {spelled(value.window)}, {value.batch}, {value.limit}"
    if isinstance(value, PrefetchPolicy):
        return "\n".join([value.name, *_lines(value.bind, set())])
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        return str(list(value))
    return str(value)


def _lines(value: Any, seen: set[int]) -> Iterator[str]:
    function = getattr(value, "py_func", value)  # of one that numba has compiled
    if not isinstance(function, (types.FunctionType, type)):
        yield repr(value)
        return
    yield f"{function.__module__}.{function.__qualname__}"
    if id(function) in seen:
        return
    seen.add(id(function))
    for part in _methods(function) if isinstance(function, type) else _needed(function):
        yield from _lines(part, seen)
    if isinstance(function, types.FunctionType):
        yield from _code(function.__code__)


def _methods(cls: type) -> Iterator[Any]:
    for base in cls.__mro__[:-1]:
        yield from (part for _, part in sorted(vars(base).items()) if isinstance(part, _SETTLED))


def _needed(function: types.FunctionType) -> Iterator[Any]:
    closed = [cell.cell_contents for cell in function.__closure__ or ()]
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    yield from function.__defaults__ or ()
    yield from (part for part in (*closed, *named) if isinstance(getattr(part, "py_func", part), _SETTLED))


def _code(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code(constant)
        else:
            yield repr(constant)
