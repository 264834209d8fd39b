"""Prefetch policies: one small file each, the same for the live store and for compiled replay.

Some give a list of chunks at the start, some answer reads, some do both. `get` knows them by name. One of one's own
comes in three ways. A plain class, slower and free to use anything::

    class Back:
        def __init__(self, layout):
            self.last = -1

        def on_read(self, chunk, ready):
            wanted, self.last = [self.last], chunk
            return wanted

    replay(workload, settings=Settings(prefetch=prefetch.from_class(Back)))

A function in numba's subset, with memory of its own, which runs as fast as the built-in ones; what is no chunk, or is
there already, is passed over::

    def on_read(ints, floats, chunk, ready, out):
        out[0], ints[0] = ints[0], chunk
        return 1

    def bind(known):
        return prefetch.Bound(ahead=Ahead(on_read, np.array([-1]), np.zeros(1)))

    def back():
        return prefetch.PrefetchPolicy("back", bind)

    replay(workload, settings=Settings(prefetch=back()))

Either of these by name, from an installed package: a class, or a function that makes the policy. `get` and every
``--prefetch`` know it then::

    [project.entry-points."workbench.prefetches"]
    back = "my_package:back"

`workbench.testing.PrefetchConformance` says whether it keeps to what the store and the engine rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from storage.errors import ConfigError
from workbench.policy.prefetch._clairvoyant import clairvoyant
from workbench.policy.prefetch._directory import directory
from workbench.policy.prefetch._first_program import first_program
from workbench.policy.prefetch._landmark import landmark
from workbench.policy.prefetch._markov import markov
from workbench.policy.prefetch._mithril import mithril
from workbench.policy.prefetch._obl import obl
from workbench.policy.prefetch._paths import paths
from workbench.policy.prefetch._pg import pg
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy
from workbench.policy.prefetch._python import PythonPrefetch, from_class
from workbench.policy.prefetch._rows import rows
from workbench.policy.prefetch._sequential import sequential
from workbench.policy.prefetch._span import span
from workbench.policy.prefetch._table import table
from workbench.policy.prefetch._whole_blob import whole_blob

__all__ = [
    "Bound",
    "Known",
    "PrefetchPolicy",
    "PythonPrefetch",
    "clairvoyant",
    "directory",
    "first_program",
    "from_class",
    "get",
    "landmark",
    "markov",
    "mithril",
    "names",
    "obl",
    "paths",
    "pg",
    "rows",
    "sequential",
    "span",
    "table",
    "whole_blob",
]

_GROUP = "workbench.prefetches"
_BY_NAME: dict[str, Callable[[], PrefetchPolicy]] = {
    "none": lambda: rows([], "none"),
    "first program": first_program,
    "whole blob": whole_blob,
    "table": table,
    "landmark": landmark,
    "directory": directory,
    "span": span,
    "sequential": sequential,
    "obl": obl,
    "markov": markov,
    "mithril": mithril,
    "pg": pg,
    "clairvoyant": clairvoyant,
}
_PATHS = "paths="


def names() -> tuple[str, ...]:
    """Names that `get` knows, built in or installed, but for ``paths=``, which needs paths after it."""
    return (*_BY_NAME, *_installed())


def get(name: str) -> PrefetchPolicy:
    """A policy by name, or ``paths=/usr/bin:/etc/app.conf``.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name.startswith(_PATHS):
        return paths([path for path in name.removeprefix(_PATHS).split(":") if path])
    if name in _BY_NAME:
        return _BY_NAME[name]()
    if name in _installed():
        return _load(name)
    known = ", ".join((*names(), f"{_PATHS}/a:/b"))
    raise ConfigError(f"no prefetch {name!r}; there are {known}", field="prefetch")


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=_GROUP) if entry.name not in _BY_NAME}


def _load(name: str) -> PrefetchPolicy:
    try:
        loaded = _installed()[name].load()
        made = from_class(loaded, name) if isinstance(loaded, type) else loaded()
    except Exception as error:  # another package's code may raise any
        raise ConfigError(f"prefetch {name!r} cannot be loaded: {error}", field="prefetch") from error
    if not isinstance(made, PrefetchPolicy):
        raise ConfigError(f"prefetch {name!r} makes no PrefetchPolicy", field="prefetch")
    return made
