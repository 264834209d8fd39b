"""The examples of how to bring a policy of one's own run as they are printed, and their policies conform."""

from __future__ import annotations

import re
import textwrap
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import workbench
from storage.plan import Ahead, Amplify, Layout, Policy
from tests.workbench.replay._cases import layout_of, workload_of
from tests.workbench.simulate._traces import traces
from workbench import policy, testing
from workbench.policy import EvictionPolicy, admission, amplify, prefetch
from workbench.policy.admission import AdmissionPolicy, Gate
from workbench.replay import Settings, replay
from workbench.simulate import simulate
from workbench.testing import AdmissionConformance, AmplifyConformance, EvictionConformance, PrefetchConformance

MOST_LINES = 15


def code(documentation: str | None) -> list[str]:
    """The indented blocks."""
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", documentation or "")
    return [textwrap.dedent(block).strip() + "\n" for block in blocks]


def run(*blocks: str) -> dict[str, Any]:
    """What the blocks define."""
    names: dict[str, Any] = {"__name__": "documented", "trace": traces()["zipf"], "simulate": simulate}
    names |= {"policy": policy, "admission": admission, "EvictionPolicy": EvictionPolicy, "Policy": Policy}
    names |= {"AdmissionPolicy": AdmissionPolicy, "Gate": Gate, "Ahead": Ahead, "Amplify": Amplify, "np": np}
    rng = np.random.default_rng(5)
    names |= {"prefetch": prefetch, "Settings": Settings, "workload": workload_of(rng, layout_of(rng, 40), 60)}
    names["replay"] = lambda workload, settings: replay(workload, None, settings)
    for block in blocks:
        exec(compile(block, "example", "exec"), names)
    return names


CLASS, FUNCTIONS, ENTRY = code(policy.__doc__)
GATE, GATE_ENTRY = code(admission.__doc__)
AHEAD_CLASS, AHEAD_FUNCTION, _ = code(prefetch.__doc__)
(WINDOWS,) = code(amplify.__doc__)


class TestClass(EvictionConformance):
    """The plain class."""

    policy = policy.from_class(run(CLASS)["Newest"])


class TestFunctions(EvictionConformance):
    """The functions in numba's subset."""

    policy = run(FUNCTIONS)["largest"]


class TestGate(AdmissionConformance):
    """The admission policy, before a built-in one."""

    admission = run(GATE)["again"]


class TestPrefetchClass(PrefetchConformance):
    """The plain class that prefetches."""

    policy = prefetch.from_class(run(AHEAD_CLASS)["Back"])


class TestPrefetchFunction(PrefetchConformance):
    """The function that does."""

    policy = run(AHEAD_FUNCTION)["back"]()


class TestAmplify(AmplifyConformance):
    """The windows."""

    longest = 256 << 10

    def make(self, needed: npt.NDArray[np.int64], layout: Layout) -> Amplify:
        """Those of the example."""
        made: Amplify = run(WINDOWS)["thrifty"](layout)
        return made


def test_suites() -> None:
    """The example of the suites has one for each, of policies that there are."""
    (example,) = code(testing.__doc__)
    names = run(GATE) | vars(testing) | {"workbench": workbench}
    names |= {"Mine": run(CLASS)["Newest"], "Next": run(AHEAD_CLASS)["Back"], **names["again"].gate._asdict()}
    exec(compile(example, "example", "exec"), names)
    made = [names[f"Test{kind}"].__base__.__name__ for kind in ("Admission", "Amplify", "Eviction", "Prefetch")]
    assert made == [name for name in testing.__all__ if name.endswith("Conformance")]


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
    blocks = (CLASS, FUNCTIONS, GATE, AHEAD_CLASS, AHEAD_FUNCTION, WINDOWS)
    assert max(len([line for line in block.splitlines() if line]) for block in blocks) <= MOST_LINES
