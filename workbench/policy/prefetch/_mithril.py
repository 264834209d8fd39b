"""Mithril: chunks that are read at about the same times, found by comparing when each was.

A chunk's times are recorded, in reads; with `support` of them it goes to a table, which is mined
when it is full: neighbours in it by their first time are associated if each of their times lies
within `near` of the other's, and one of them within one read.

Source: Yang, Karimi, Saemundsson, Wildani and Vigfusson, "MITHRIL: mining sporadic associations for cache
prefetching", SoCC 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from storage.plan import Ahead
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy

__all__ = ["mithril"]

_NOW, _CHUNKS, _SUPPORT, _NEAR, _ROWS, _FILLED, _WAYS, _HEAD = 0, 1, 2, 3, 4, 5, 6, 7


def mithril(support: int = 3, near: int = 50, rows: int = 128, ways: int = 2) -> PrefetchPolicy:
    """Suggest the `ways` chunks that were last found to go with the one that is read.

    Parameters
    ----------
    support
        How often chunks must have been read together.
    near
        The most reads that may lie between.
    rows
        Of the table that is mined.
    """

    def bind(known: Known) -> Bound:
        chunks = len(known.layout.size)
        # By chunk: how many times, those, and its associations; then the table's chunks.
        ints = np.zeros(_HEAD + chunks * (1 + support + ways) + rows, np.int64)
        ints[_CHUNKS], ints[_SUPPORT], ints[_NEAR], ints[_ROWS], ints[_WAYS] = chunks, support, near, rows, ways
        return Bound(ahead=Ahead(_on_read, ints, np.zeros(1)))

    return PrefetchPolicy("mithril", bind)


def _node(ints: Any, chunk: int) -> int:
    return int(_HEAD + chunk * (1 + ints[_SUPPORT] + ints[_WAYS]))


def _on_read(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    ints[_NOW] += 1
    node, support = _node(ints, chunk), ints[_SUPPORT]
    if ints[node] < support:
        ints[node + 1 + ints[node]] = ints[_NOW]
        ints[node] += 1
        if ints[node] == support:
            _enter(ints, chunk)
    count = 0
    for way in range(ints[_WAYS]):
        other = ints[node + 1 + support + way]
        if other > 0 and count < len(out):
            out[count] = other - 1
            count += 1
    return count


def _enter(ints: Any, chunk: int) -> None:
    """Into the table, which is kept in the order of first times; a full one is mined."""
    table = _node(ints, ints[_CHUNKS])
    at = ints[_FILLED]
    while at > 0 and ints[_node(ints, ints[table + at - 1]) + 1] > ints[_node(ints, chunk) + 1]:
        ints[table + at] = ints[table + at - 1]
        at -= 1
    ints[table + at] = chunk
    ints[_FILLED] += 1
    if ints[_FILLED] == ints[_ROWS]:
        _mine(ints, table)
        for row in range(ints[_ROWS]):
            ints[_node(ints, ints[table + row])] = 0
        ints[_FILLED] = 0


def _mine(ints: Any, table: int) -> None:
    for row in range(ints[_ROWS]):
        first = _node(ints, ints[table + row])
        other = row + 1
        while other < ints[_ROWS]:
            second = _node(ints, ints[table + other])
            if ints[second + 1] - ints[first + 1] > ints[_NEAR]:
                break
            if _together(ints, first, second):
                _associate(ints, first, ints[table + other])
            other += 1


def _together(ints: Any, first: int, second: int) -> bool:
    close = False
    for index in range(ints[_SUPPORT]):
        apart = abs(ints[second + 1 + index] - ints[first + 1 + index])
        if apart > ints[_NEAR]:
            return False
        close = close or apart == 1
    return close


def _associate(ints: Any, node: int, chunk: int) -> None:
    row = node + 1 + ints[_SUPPORT]
    for way in range(ints[_WAYS] - 1, 0, -1):
        ints[row + way] = ints[row + way - 1]
    ints[row] = chunk + 1
