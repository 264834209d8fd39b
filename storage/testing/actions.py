"""Walking a read through a decider, action by action, with nothing else going on."""

from __future__ import annotations

from typing import Any

from storage.plan import COMPLETE, FETCH, SERVE, WAIT, YIELD, Decider, Read, Reg

__all__ = ["Action", "finish", "step"]

Action = tuple[Any, ...]
_NAMES = {SERVE: "serve", WAIT: "wait", FETCH: "fetch", YIELD: "yield", COMPLETE: "complete"}


def step(machine: Decider, read: Read) -> Action:
    """The next action by name, and what it is about: first and last chunk, the chunk waited for, chunks served."""
    action = machine.advance(read)
    about: tuple[int, ...] = ()
    if action == FETCH:
        about = (read.chunks.start, read.chunks.stop - 1)
    elif action == WAIT:
        about = (read.reg[Reg.WAITING],)
    elif action == SERVE:
        about = tuple(read.segments.chunk[pos] for pos in read.span)
    return (_NAMES[action], *about)


def finish(machine: Decider, read: Read) -> list[Action]:
    """Do all that a read wants, at once; the actions but for the last, ``complete``."""
    actions = []
    while (action := step(machine, read)) != ("complete",):
        actions.append(action)
        if action[0] == "fetch":
            machine.arrive(read)
            machine.persisted(read)
        else:
            machine.served(read)
    return actions
