"""Admission policies by name, and each before an eviction policy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points

from storage.errors import ConfigError
from storage.plan import Policy
from workbench._bind import bind
from workbench._quantity import parse_size
from workbench.policy._eviction import EvictionPolicy
from workbench.policy.admission import _all, _probabilistic, _size, _tinylfu
from workbench.policy.admission._gate import FIRST, Gate, guarded

__all__ = ["AdmissionPolicy", "get", "guard", "names"]


@dataclass(frozen=True)
class AdmissionPolicy:
    """Three functions, and how much memory they need.

    Attributes
    ----------
    name
        What it is called in tables.
    arena
        From a count of chunks to the lengths of its int64 and float64 arenas; in numba's subset, too.
    gate
        See `Gate`; in numba's subset.
    """

    name: str
    arena: Callable[[int], tuple[int, int]]
    gate: Gate


_GROUP = "workbench.admissions"
_PLAIN = {
    "all": AdmissionPolicy("all", _all.arena, _all.gate),
    "tinylfu": AdmissionPolicy("tinylfu", _tinylfu.arena, _tinylfu.gate),
}


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError
    return share


# What is said after the name, and how.
_WITH = {"size": (_size, parse_size, "size=128KiB"), "probabilistic": (_probabilistic, _share, "probabilistic=0.5")}


def names() -> tuple[str, ...]:
    """Names that `get` knows: built-in ones, and those that installed packages bring."""
    return (*_PLAIN, *_WITH, *_installed())


@functools.cache
def get(name: str) -> AdmissionPolicy:
    """An admission policy by name, with what it needs to know after it: ``tinylfu``, ``size=128KiB``.

    Raises
    ------
    ConfigError
        If there is none of that name, or the rest is missing or makes no sense.
    """
    kind, _, value = name.strip().partition("=")
    if kind.lower() in _WITH:
        return _with(kind.lower(), value)
    if name.strip().lower() in _PLAIN:
        return _PLAIN[name.strip().lower()]
    if name.strip() in _installed():
        return _load(name.strip())
    raise ConfigError(f"no admission policy {name!r}; there are {', '.join(names())}", field="admission")


def _with(kind: str, value: str) -> AdmissionPolicy:
    module, parse, example = _WITH[kind]
    try:
        parameter = parse(value)
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"admission {kind} of {value!r} makes no sense: say {example}", field="admission") from error
    gate = module.gate._replace(init=bind(module.gate.init, PARAMETER=parameter))
    return AdmissionPolicy(f"{kind}={value}", module.arena, gate)


@functools.cache
def guard(eviction: EvictionPolicy, admission: AdmissionPolicy) -> EvictionPolicy:
    """An eviction policy that the admission policy stands before, as one policy."""
    if admission is _PLAIN["all"]:
        return eviction

    def arena(chunks: int) -> tuple[int, int]:
        parts = admission.arena(chunks), eviction.arena(chunks)
        return FIRST + parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]

    def compiler(functions: Policy) -> Policy:
        from workbench._compile import compile_policy

        return compile_policy(guarded(admission.gate, admission.arena, eviction.compiled()), keep=False)

    both = guarded(admission.gate, admission.arena, eviction.functions)
    made = replace(eviction, name=f"{eviction.name}+{admission.name}", arena=arena, functions=both, narrow=False)
    # Functions that bring a compiler of their own are called, and what calls them knows where they are.
    return replace(made, compiler=compiler) if eviction.compiler is not EvictionPolicy.compiler else made


def _installed() -> dict[str, EntryPoint]:
    known = (*_PLAIN, *_WITH)
    return {entry.name: entry for entry in entry_points(group=_GROUP) if entry.name.lower() not in known}


def _load(name: str) -> AdmissionPolicy:
    try:
        loaded = _installed()[name].load()
    except Exception as error:  # another package's code may raise any
        raise ConfigError(f"admission {name!r} cannot be loaded: {error}", field="admission") from error
    if not isinstance(loaded, AdmissionPolicy):
        raise ConfigError(f"admission {name!r} is no AdmissionPolicy", field="admission")
    return loaded
