"""Prefetch policies: one small file each, the same for the live store and for compiled replay.

Some give a list of chunks at the start, some answer reads, some do both. `get` knows those
that need no more than a name; the others are made of an image or of numbers.
"""

from __future__ import annotations

from collections.abc import Callable

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

_BY_NAME: dict[str, Callable[[], PrefetchPolicy]] = {
    "none": lambda: rows([], "none"),
    "first program": first_program,
    "whole blob": whole_blob,
    "clairvoyant": clairvoyant,
    "sequential": sequential,
    "obl": obl,
    "span": span,
    "markov": markov,
    "mithril": mithril,
    "pg": pg,
}


def names() -> tuple[str, ...]:
    """Names that `get` knows."""
    return tuple(_BY_NAME)


def get(name: str) -> PrefetchPolicy:
    """A policy by name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    try:
        return _BY_NAME[name]()
    except KeyError:
        raise ConfigError(f"no prefetch {name!r}; there are {', '.join(names())}", field="prefetch") from None
