"""Options that say under which circumstances something is run."""

from __future__ import annotations

from typing import Any

import click

from workbench import policy
from workbench.cli._link import LINK
from workbench.cli._types import CACHE_SIZE, SIZE, Share, bytes_of
from workbench.policy import amplify
from workbench.replay import LOOPS, PREFETCH

__all__ = [
    "amplify_option",
    "clients_option",
    "guarded",
    "link_option",
    "loop_option",
    "prefetch_option",
    "replay_options",
    "settings_options",
    "watermarks_of",
]

_ADMISSIONS = "all, tinylfu, size=128KiB (up to that) or probabilistic=0.5."


class _Amplify(click.ParamType):
    """A size, or the name of a policy, which stays one: some go by the workload."""

    name = "size|policy"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str) or value.partition("=")[0].lower() in amplify.names():
            return value
        return SIZE.convert(value, param, ctx)


_AMPLIFY, _PREFETCH = ", ".join(amplify.names()), ", ".join(PREFETCH)

amplify_option = click.option(
    "--amplify", type=_Amplify(), default="1MiB", show_default=True, help=f"amplify_io, or {_AMPLIFY}."
)
prefetch_option = click.option("--prefetch", default="none", show_default=True, help=f"{_PREFETCH}, or paths=/a:/b.")
clients_option = click.option(
    "--clients", type=click.IntRange(1), default=1, help="Machines that start it at once, over one link."
)
loop_option = click.option("--loop", type=click.Choice(LOOPS), default="closed", help="open: at recorded times.")
link_option = click.option("--link", type=LINK, default="rtt=20ms,bw=200Mbit", show_default=True)


def settings_options(command: Any) -> Any:
    """Add what says how a store caches and asks."""
    for option in reversed(
        (
            click.option("--eviction", type=click.Choice(policy.names()), default="none", show_default=True),
            click.option("--admission", default="all", show_default=True, help=_ADMISSIONS),
            click.option("--cache-size", type=CACHE_SIZE, help="256MiB, or 50% of what the trace touches."),
            click.option("--plan", type=click.Choice(["exact", "reference"]), default="exact", show_default=True),
        )
    ):
        command = option(command)
    return command


def replay_options(command: Any) -> Any:
    """Add what only a replay has, or knows more of."""
    for option in reversed(
        (
            amplify_option,
            prefetch_option,
            click.option("--prefetch-workers", type=click.IntRange(1), default=1, help="How many fetch it."),
            click.option("--prefetch-bandwidth", type=SIZE, default=0, help="Bytes a second that they may ask for."),
            loop_option,
            click.option("--high", type=CACHE_SIZE, help="Evict when more is stored: 1GiB, or 90% of the cache size,"),
            click.option("--low", type=CACHE_SIZE, help="and down to this; by default no lower than there must be."),
            click.option("--warm-up", type=click.IntRange(0), default=0, help="Reads before anything counts."),
        )
    ):
        command = option(command)
    return command


def guarded(eviction: str, admission: str, cache_size: int | Share | None, untimed: bool = False) -> str:
    """The name of both policies as one, once they can be what is wanted."""
    if policy.get(eviction).offline and not untimed:
        raise click.UsageError(f"--eviction {eviction} knows the future: it needs --untimed")
    if eviction != "none" and cache_size is None:
        raise click.UsageError(f"--eviction {eviction} needs --cache-size: 256MiB, say")
    if eviction == "none" and cache_size is not None:
        raise click.UsageError("--cache-size needs --eviction: lru, say")
    if eviction == "none" and admission != "all":
        raise click.UsageError("--admission needs --eviction: lru, say")
    both = f"{eviction}+{admission}"
    policy.get(both)
    return eviction if admission == "all" else both


def watermarks_of(low: int | Share | None, high: int | Share | None, capacity: int | None) -> tuple[int, int] | None:
    """The watermarks that were asked for, in bytes."""
    if capacity is None or (low is None and high is None):
        return None
    top = capacity if high is None else bytes_of(high, capacity)
    bottom = top if low is None else bytes_of(low, capacity)
    return bottom, top
