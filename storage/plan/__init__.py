"""What to do about a read: pure functions over arrays, with no IO, clock or thread in them.

The live store calls them under its lock; the replay engine compiles the same functions and
runs them on a virtual clock.
"""

from storage.plan._advance import advance
from storage.plan._report import abandon, arrive, evicted, give_up_wait, persisted, reopen, served, store_failed
from storage.plan._state import (
    COMPLETE,
    FETCH,
    PLANS,
    PREFETCH,
    READY,
    REGISTERS,
    SERVE,
    USER,
    WAIT,
    YIELD,
    Layout,
    Options,
    Policy,
    Reg,
    Segments,
    State,
    keep_all,
    new_registers,
    new_state,
    plan_layout,
    plan_options,
    views,
)

__all__ = [
    "COMPLETE",
    "FETCH",
    "PLANS",
    "PREFETCH",
    "READY",
    "REGISTERS",
    "SERVE",
    "USER",
    "WAIT",
    "YIELD",
    "Layout",
    "Options",
    "Policy",
    "Reg",
    "Segments",
    "State",
    "abandon",
    "advance",
    "arrive",
    "evicted",
    "give_up_wait",
    "keep_all",
    "new_registers",
    "new_state",
    "persisted",
    "plan_layout",
    "plan_options",
    "reopen",
    "served",
    "store_failed",
    "views",
]
