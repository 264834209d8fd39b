"""Compile the decider's plain functions, and everything they call, with numba.

A function is cloned with its global functions replaced by compiled clones of theirs. What
comes out is kept on disk under a hash of all that went in: bytecode and constants of every
function reached, and the versions of Python, numba and llvmlite. So nothing that is found
there is ever stale, which numba's own cache cannot say of functions that were imported.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target
from numba.core.sigutils import normalize_signature

from storage.plan import Policy
from workbench import _draft
from workbench._bind import pick

__all__ = [
    "cache_folder",
    "callback_ahead",
    "callback_policy",
    "compile_ahead",
    "compile_function",
    "compile_policy",
    "fingerprint",
]

# Made here and now: of two threads that compile first, one would make it under the compiler's lock, the other take that
# lock while making it, and both would wait for ever.
_ = cpu_target.target_context

_OURS = ("storage.", "workbench.")
# Bytes of bytecode of functions that the engine has copied to where they are called; of loops, all are.
_SMALL = 150
_ANY = 1 << 30

_ints, _floats, _pins, _int = numba.int64[::1], numba.float64[::1], numba.int32[::1], numba.int64
_ONE = numba.void(_ints, _floats, _int)
_SIGNATURES = (
    numba.void(_ints, _floats, _ints, _int),
    _ONE,
    _ONE,
    _int(_ints, _floats, _pins, _int),
    _ONE,
    _int(_ints, _floats, _int),
)
_AHEAD = _int(_ints, _floats, _int, _int, _ints)


@functools.cache
def compile_function(function: Callable[..., Any]) -> Any:
    """The function, compiled on its first call for the types that it is called with."""
    return _remembered(_jit(_clone(function)), function)


@functools.cache
def compile_engine(function: Callable[[Sequence[Any], int], int]) -> Callable[[Sequence[Any]], int]:
    """A function of several named tuples of one type, large ones, and their count; it has them by reference."""
    from workbench import _by_ref

    def engine(world, place, number, count):  # type: ignore[no-untyped-def]
        if number < count:
            store(world, place + 8 * room * number)  # type: ignore[name-defined]  # noqa: F821
            return 0
        return inner(refs(world, place), count)  # type: ignore[name-defined]  # noqa: F821

    # Not a closure, which numba's cache would take for another one in each process.
    names = {"__name__": __name__, "inner": _inner(function, _SMALL), "room": _by_ref.ROOM}
    engine = types.FunctionType(engine.__code__, names | {"refs": _by_ref.refs, "store": _by_ref.store})
    key = hashlib.sha256(f"by reference {fingerprint(function)}".encode()).hexdigest()[:32]
    compiled = _cached(_jit(engine), engine, key)

    def run(worlds: Sequence[Any]) -> int:
        places = np.zeros(len(worlds) * _by_ref.ROOM, np.int64)
        for number, world in enumerate(worlds):
            compiled(world, places.ctypes.data, number, len(worlds))
        return int(compiled(worlds[0], places.ctypes.data, len(worlds), len(worlds)))

    vars(run)["compiled"] = compiled
    return run


@functools.cache
def compile_policy(functions: Policy, keep: bool = True) -> Policy:
    """A policy's functions as function values of fixed signatures; not to be kept on disk if they know addresses."""
    return Policy(*(_value(function, sig, keep) for function, sig in zip(functions, _SIGNATURES, strict=True)))


@functools.cache
def compile_ahead(on_read: Callable[..., int]) -> Any:
    """A prefetch policy's function as a function value."""
    return _value(on_read, _AHEAD, True)


def callback_ahead(on_read: Any) -> Any:
    """A function value that calls a C callback ``on_read(chunk, ready, out, n)``; `out` is given as an address."""

    def call(ints, floats, chunk, ready, out):  # type: ignore[no-untyped-def]
        return on_read(chunk, ready, out.ctypes.data, len(out))

    return numba.cfunc(_AHEAD)(call)


def callback_policy(init: Any, on_hit: Any, on_admit: Any, victim: Any, on_remove: Any, admits: Any) -> Policy:
    """Function values that call C callbacks.

    Those are ``init(sizes, n, capacity)``, ``on_hit(chunk)``, ``on_admit(chunk)``, ``victim(pinned, n, chunk)``,
    ``on_remove(chunk)`` and ``admits(chunk)``; arrays are given as addresses.
    """

    def call_init(ints, floats, sizes, capacity):  # type: ignore[no-untyped-def]
        init(sizes.ctypes.data, len(sizes), capacity)

    def call_hit(ints, floats, chunk):  # type: ignore[no-untyped-def]
        on_hit(chunk)

    def call_admit(ints, floats, chunk):  # type: ignore[no-untyped-def]
        on_admit(chunk)

    def call_victim(ints, floats, pinned, chunk):  # type: ignore[no-untyped-def]
        return victim(pinned.ctypes.data, len(pinned), chunk)

    def call_remove(ints, floats, chunk):  # type: ignore[no-untyped-def]
        on_remove(chunk)

    def call_admits(ints, floats, chunk):  # type: ignore[no-untyped-def]
        return admits(chunk)

    calls = (call_init, call_hit, call_admit, call_victim, call_remove, call_admits)
    return Policy(*(numba.cfunc(sig)(call) for call, sig in zip(calls, _SIGNATURES, strict=True)))


def fingerprint(function: Callable[..., Any]) -> str:
    """A hash of all that decides what the function compiles to, the functions that it calls included."""
    versions = (sys.version, numba.__version__, llvmlite.__version__, [each.__name__ for each in _draft.PASSES])
    return hashlib.sha256(repr((versions, sorted(set(_parts(function, set()))))).encode()).hexdigest()[:32]


def cache_folder() -> Path:
    """Where compiled code is kept: under ``NUMBA_CACHE_DIR`` or the user's cache folder."""
    root = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "nydus-workbench"


def _value(function: Callable[..., Any], signature: Any, keep: bool) -> Any:
    value = CFunc(_clone(function), normalize_signature(signature), {}, {}, _draft.WholeCompiler)
    value = _remembered(value, function) if keep else value
    value.compile()
    return value


@functools.cache
def _clone(function: Any, copied: int = _ANY) -> Any:
    """The same code with compiled globals; those of less bytecode than that are copied to where they are called."""
    names = dict(function.__globals__)
    for name, called in _called(function):
        names[name] = _picked() if called is pick else _inner(called, copied)
    clone = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    clone.__module__ = function.__module__
    return clone


def _picked() -> Any:
    from workbench import _by_ref

    return _by_ref.pick


@functools.cache
def _inner(function: Any, copied: int) -> Any:
    """A function to be called by compiled ones: compiled once, and not anew for each constant or length of integer."""
    copy = len(function.__code__.co_code) < copied
    options = {"no_cpython_wrapper": True, "forceinline": copy}
    inner = _jit(_clone(function, copied), _draft.DraftCompiler, **options)
    choose = inner.get_call_template
    inner.get_call_template = lambda args, kws: choose([_widened(numba.types.unliteral(arg)) for arg in args], kws)
    return inner


def _widened(kind: Any) -> Any:
    return _int if isinstance(kind, numba.types.Integer) else kind


def _jit(clone: Any, compiler: Any = _draft.WholeCompiler, **options: bool) -> Any:
    # Nothing is allocated in there, so that counting references would be for nothing.
    return numba.njit(_nrt=False, no_cfunc_wrapper=True, pipeline_class=compiler, **options)(clone)


def _called(function: Any) -> Iterator[tuple[str, Any]]:
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, types.FunctionType) and (
            name in getattr(function, "bound", ()) or value.__module__.startswith((*_OURS, function.__module__))
        ):
            yield name, value


def _parts(function: Any, seen: set[Any]) -> Iterator[str]:
    """Code and constants of a function and of all that it calls."""
    seen.add(function)
    code = function.__code__
    yield repr((function.__module__, code.co_name, code.co_code, code.co_consts, code.co_names, function.__defaults__))
    called = dict(_called(function))
    for name in code.co_names:
        if name in called:
            if called[name] not in seen:
                yield from _parts(called[name], seen)
        elif name in function.__globals__:
            value = function.__globals__[name]
            yield repr((function.__module__, name, getattr(value, "_fields", ()), value))


def _remembered(compiled: Any, function: Callable[..., Any]) -> Any:
    """Have numba look on disk first; where nothing can be kept, it compiles each time."""
    return _cached(compiled, _clone(function), fingerprint(function))


def _cached(compiled: Any, clone: Any, key: str) -> Any:
    clone.fingerprint = key
    with contextlib.suppress(RuntimeError):
        compiled._cache = _Cache(clone)
    return compiled


class _Locator(_CacheLocator):
    """Files in our folder, told apart by the function's fingerprint."""

    def __init__(self, fingerprint: str, py_file: str) -> None:
        self._fingerprint = fingerprint
        self._py_file = py_file

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return self._fingerprint

    def get_disambiguator(self) -> str:
        return self._fingerprint

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator | None:
        locator = cls(py_func.fingerprint, py_file)
        try:
            locator.ensure_cache_path()
        except OSError:
            return None
        return locator


class _Impl(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Cache(FunctionCache):
    """numba's cache, for which a file that is damaged or a disk that is full is no reason to fail."""

    _impl_class = _Impl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged pickle may raise any
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)
