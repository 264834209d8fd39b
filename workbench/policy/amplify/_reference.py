"""The reference's: a fixed window, of which nydusd takes no less than 128 KiB."""

from __future__ import annotations

from dataclasses import replace

from storage.plan import Amplify
from workbench.policy.amplify._fixed import fixed

__all__ = ["reference"]

_LEAST = 128 << 10


def reference(amplify_io: int = 1 << 20) -> Amplify:
    """Widen as nydusd does with this `amplify_io`; under plan ``reference`` in all its ways, too.

    Source: nydus ``storage/src/cache/cachedfile.rs`` and ``rafs/src/fs.rs``.
    """
    return replace(fixed(max(amplify_io, _LEAST)), name=f"reference {amplify_io >> 10} KiB")
