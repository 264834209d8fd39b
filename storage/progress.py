"""A bar for what takes long, where somebody watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["progress_bar"]

_DELAY = 2.0  # seconds that nobody minds to wait


@contextmanager
def progress_bar(shown: bool, total: int | None, what: str, unit: str = "B") -> Iterator[Callable[[int], object]]:
    """A bar that appears after two seconds, on a terminal only; yields what moves it on."""
    if not shown:
        yield lambda _: None
        return
    start, done, bar = time.monotonic(), 0, None

    def move(count: int) -> None:
        nonlocal done, bar
        done += count
        if bar is not None:
            bar.update(count)
        elif time.monotonic() - start > _DELAY:
            bar = _bar(total, what, unit, done)

    try:
        yield move
    finally:
        if bar is not None:
            bar.close()


def _bar(total: int | None, what: str, unit: str, done: int) -> tqdm:
    from tqdm.auto import tqdm  # which is a third of the time that starting takes

    return tqdm(total=total, initial=done, unit=unit, unit_scale=unit == "B", desc=what, leave=False, disable=None)
