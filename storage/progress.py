"""A bar for what takes long, where somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(shown: bool, total: int | None, what: str, unit: str = "B") -> Iterator[Callable[[int], object]]:
    """A bar that appears after two seconds, on a terminal only; yields what moves it on."""
    if not shown:
        yield lambda _: None
        return
    from tqdm.auto import tqdm  # which is a third of the time that starting takes

    with tqdm(total=total, unit=unit, unit_scale=unit == "B", desc=what, delay=2, leave=False, disable=None) as bar:
        yield bar.update
