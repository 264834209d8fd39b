"""The steps of a state machine as a trace: kept when it fails, shrunk by hypothesis, and to be run again.

A machine's rules take plain values only, so that a step is a name and its arguments. A failing run leaves
``<name>.json``, the trace, and ``<name>.py``, the same as a script; as hypothesis runs the smallest failing
example last, that is what stays.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage.errors import TraceError

__all__ = ["Traced", "replay_steps", "step"]


def step(function: Callable[..., None]) -> Callable[..., None]:
    """Note a rule's name and arguments before it is run; to be put under ``@rule``. What it calls is not noted."""

    @functools.wraps(function)
    def noted(self: Traced, **arguments: Any) -> None:
        if self.is_well:
            self.steps.append((function.__name__, arguments))
            self.is_well = False
        function(self, **arguments)

    return noted


class Traced:
    """A machine that keeps its steps.

    Attributes
    ----------
    traces
        The folder where failing runs are left; it is made when there is one.
    """

    traces = Path(".hypothesis") / "counterexamples"
    steps: list[tuple[str, dict[str, Any]]]
    is_well: bool

    def begin(self) -> None:
        """No step yet."""
        self.steps, self.is_well = [], True

    def check(self) -> None:
        """The laws, after each step."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Close everything."""

    def leave_trace(self) -> None:
        """If the last step was not followed by all laws holding, write down how it came to that."""
        if self.is_well:
            return
        self.traces.mkdir(parents=True, exist_ok=True)
        kind = type(self)
        place = self.traces / kind.__name__
        trace = {"machine": [kind.__module__, kind.__qualname__], "steps": self.steps}
        place.with_suffix(".json").write_text(json.dumps(trace, indent=1) + "\n")
        place.with_suffix(".py").write_text(self.script())

    def script(self) -> str:
        """The steps as a program."""
        kind = type(self)
        lines = [f"from {kind.__module__} import {kind.__name__}", "", f"state = {kind.__name__}()", "try:"]
        for name, arguments in self.steps:
            lines.append(f"    state.{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
            lines.append("    state.check()")
        return "\n".join([*lines, "finally:", "    state.teardown()", ""])


def replay_steps(machine: type[Traced], trace: Path) -> None:
    """Do the steps of a trace again, on a machine of that kind.

    Raises
    ------
    TraceError
        If it is no trace, or of another machine. Whatever the machine raises is raised as it is.
    """
    try:
        content = json.loads(trace.read_text())
        of, steps = content["machine"], [(str(name), dict(arguments)) for name, arguments in content["steps"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TraceError("is not a trace of steps", path=trace) from error
    if of != [machine.__module__, machine.__qualname__]:
        raise TraceError(f"is a trace of {of}", path=trace)
    state = machine()
    try:
        for name, arguments in steps:
            getattr(state, name)(**arguments)
            state.check()
    finally:
        state.teardown()
