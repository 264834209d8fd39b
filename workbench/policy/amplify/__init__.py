"""Amplification policies: how far beyond what was asked a request reaches. One small file each.

Each makes a `storage.plan.Amplify`, which a live store takes as its ``amplify_io`` as well as a replay. Plan
``reference`` has nydusd's own: a window for all. One of one's own is a window for each chunk, here the larger the
smaller the chunk is, as small files are read together::

    def thrifty(layout, most=256 << 10):
        window = np.where(layout.size < 16 << 10, most, 0)
        return Amplify("thrifty", window)

    replay(workload, settings=Settings(amplify_io=thrifty(workload.layout)))

`workbench.testing.AmplifyConformance` says whether it keeps to what the store and the engine rely on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from storage.errors import ConfigError
from storage.plan import Amplify, Layout
from workbench._quantity import parse_size
from workbench.policy.amplify._adaptive import adaptive
from workbench.policy.amplify._fixed import fixed
from workbench.policy.amplify._none import none
from workbench.policy.amplify._profile import profile
from workbench.policy.amplify._reference import reference

__all__ = ["adaptive", "fixed", "get", "names", "none", "profile", "reference"]

# Each may be said with a size after it: ``adaptive=8MiB``.
_SIZED: dict[str, Callable[..., Amplify]] = {
    "reference": reference,
    "none": none,
    "fixed": fixed,
    "adaptive": adaptive,
}


def names() -> tuple[str, ...]:
    """Names that `get` knows."""
    return (*_SIZED, "profile")


def get(
    name: str, needed: Sequence[int] | npt.NDArray[np.int64] | None = None, layout: Layout | None = None
) -> int | Amplify:
    """A policy by name, with a size after it if it is not to be the usual one; or a size, which is a window for all.

    Parameters
    ----------
    needed, layout
        What ``profile`` goes by.

    Raises
    ------
    ConfigError
        If there is none of that name, the size is none, or ``profile`` has nothing to go by.
    """
    kind, _, size = name.strip().lower().partition("=")
    sizes = [parse_size(size)] if size else []
    if kind in _SIZED:
        return _SIZED[kind](*sizes)
    if kind == "profile":
        if needed is None or layout is None:
            raise ConfigError("amplify profile goes by a recorded workload", field="amplify_io")
        return profile(needed, layout, *sizes)
    if kind[:1].isdigit():
        return parse_size(kind)
    raise ConfigError(f"no amplify {name!r}; there are {', '.join(names())}, or a size", field="amplify_io")
