"""Policies by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from storage.errors import ConfigError
from workbench.policy import (
    _arc,
    _belady,
    _beladysize,
    _cacheus,
    _clock,
    _fifo,
    _gdsf,
    _hyperbolic,
    _lecar,
    _lfu,
    _lfuda,
    _lhd,
    _lirs,
    _lru,
    _lruk,
    _mq,
    _mru,
    _none,
    _qdlp,
    _random,
    _s3fifo,
    _sieve,
    _slru,
    _twoq,
    _wtinylfu,
    admission,
)
from workbench.policy._eviction import EvictionPolicy

__all__ = ["get", "names"]


_GROUP = "workbench.policies"
_MODULES = {
    "none": _none,
    "fifo": _fifo,
    "lru": _lru,
    "mru": _mru,
    "clock": _clock,
    "sieve": _sieve,
    "lfu": _lfu,
    "lfuda": _lfuda,
    "gdsf": _gdsf,
    "lru-k": _lruk,
    "slru": _slru,
    "2q": _twoq,
    "arc": _arc,
    "s3-fifo": _s3fifo,
    "qdlp": _qdlp,
    "mq": _mq,
    "lirs": _lirs,
    "w-tinylfu": _wtinylfu,
    "random": _random,
    "hyperbolic": _hyperbolic,
    "lecar": _lecar,
    "cacheus": _cacheus,
    "lhd": _lhd,
    "belady": _belady,
    "belady-size": _beladysize,
}
# Random numbers of 63 bits, or a time that never comes.
_WIDE = ("random", "hyperbolic", "cacheus", "lhd", "belady", "belady-size")
_BUILT_IN = {
    name: EvictionPolicy(
        name,
        module.arena,
        module.functions,
        offline=getattr(module, "OFFLINE", False),
        specialised=True,
        narrow=name not in _WIDE,
    )
    for name, module in _MODULES.items()
}


def names() -> tuple[str, ...]:
    """Names that `get` knows: built-in ones, and those that installed packages bring."""
    return (*_BUILT_IN, *_installed())


def get(name: str) -> EvictionPolicy:
    """A policy by name, in upper or lower case: of eviction, or with one of admission before it, ``lru+tinylfu``.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    eviction, _, gate = name.partition("+")
    return admission.guard(_get(eviction.strip()), admission.get(gate)) if gate else _get(name)


def _get(name: str) -> EvictionPolicy:
    if name.lower() in _BUILT_IN:
        return _BUILT_IN[name.lower()]
    if name in _installed():
        return _load(name)
    raise ConfigError(f"no eviction policy {name!r}; there are {', '.join(names())}", field="eviction")


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=_GROUP) if entry.name.lower() not in _BUILT_IN}


def _load(name: str) -> EvictionPolicy:
    """What an entry point names: an `EvictionPolicy`, or a class for `from_class`."""
    from workbench.policy._python import from_class

    try:
        loaded = _installed()[name].load()
    except Exception as error:  # another package's code may raise any
        raise ConfigError(f"policy {name!r} cannot be loaded: {error}", field="eviction") from error
    if isinstance(loaded, EvictionPolicy):
        return loaded
    if isinstance(loaded, type):
        return from_class(loaded, name)
    raise ConfigError(f"policy {name!r} is neither an EvictionPolicy nor a class", field="eviction")
