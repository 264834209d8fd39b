"""Do something once, shortly after it was last asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Debounced"]


class Debounced:
    """Calls `work` when it has not been asked for anew for `delay_s`.

    Where no event loop runs there is nothing to wait in, so `work` is called at once.

    Parameters
    ----------
    work
        What to do; it looks up for itself what it needs, so that it is never out of date.
    delay_s
        How long to wait for another call, in seconds.
    """

    def __init__(self, work: Callable[[], None], delay_s: float) -> None:
        self.work = work
        self.delay_s = delay_s
        self._pending: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Ask for the work to be done."""
        if self._pending is not None:
            self._pending.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.work()
        else:
            self._pending = loop.call_later(self.delay_s, self.work)
