"""The examples of how to bring a policy of one's own run as they are printed, and their policies conform."""

from __future__ import annotations

import re
import textwrap
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from storage.plan import Policy
from tests.workbench.simulate._traces import traces
from workbench import policy
from workbench.policy import EvictionPolicy, admission
from workbench.policy.admission import AdmissionPolicy, Gate
from workbench.simulate import simulate
from workbench.testing import EvictionConformance

MOST_LINES = 15


def code(documentation: str | None) -> list[str]:
    """The indented blocks."""
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", documentation or "")
    return [textwrap.dedent(block).strip() + "\n" for block in blocks]


def run(*blocks: str) -> dict[str, Any]:
    """What the blocks define."""
    names: dict[str, Any] = {"__name__": "documented", "trace": traces()["zipf"], "simulate": simulate}
    names |= {"policy": policy, "admission": admission, "EvictionPolicy": EvictionPolicy, "Policy": Policy}
    names |= {"AdmissionPolicy": AdmissionPolicy, "Gate": Gate}
    for block in blocks:
        exec(compile(block, "example", "exec"), names)
    return names


CLASS, FUNCTIONS, ENTRY = code(policy.__doc__)
GATE, GATE_ENTRY = code(admission.__doc__)


class TestClass(EvictionConformance):
    """The plain class."""

    policy = policy.from_class(run(CLASS)["Newest"])


class TestFunctions(EvictionConformance):
    """The functions in numba's subset."""

    policy = run(FUNCTIONS)["largest"]


class TestGate(EvictionConformance):
    """The admission policy, before a built-in one and before the plain class."""

    policy = admission.guard(policy.get("lru"), run(GATE)["again"])


@pytest.mark.parametrize(("entry", "group"), [(ENTRY, "workbench.policies"), (GATE_ENTRY, "workbench.admissions")])
def test_entry_point(entry: str, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the entry point names is had by name."""
    made = run(FUNCTIONS, GATE)
    name, value = re.fullmatch(r'\[project.entry-points."(?:.*)"\]\n(\w+) = "(.*)"\n', entry).groups()  # type: ignore[union-attr]
    assert group in entry
    monkeypatch.setattr(EntryPoint, "load", lambda self: made[self.value.partition(":")[2]])
    for module in ("workbench.policy._policy", "workbench.policy.admission._policy"):
        monkeypatch.setattr(f"{module}.entry_points", lambda group: [EntryPoint(name, value, group)])
    admission.get.cache_clear()
    known = policy.get(name) if group == "workbench.policies" else admission.get(name)
    admission.get.cache_clear()
    assert known is made[name]


def test_short() -> None:
    """None has more than fifteen lines."""
    assert max(len([line for line in block.splitlines() if line]) for block in (CLASS, FUNCTIONS, GATE)) <= MOST_LINES
