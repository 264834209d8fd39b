"""Everything that may happen to a cache, in any order; and that a counterexample can be run again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from storage.errors import TraceError
from storage.testing.machine import CacheMachine
from storage.testing.steps import Traced, replay_steps, step

TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


class SumMachine(Traced, RuleBasedStateMachine):
    """Adds numbers up, and holds that their sum is small."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()
        self.sum = 0

    @rule(numbers=st.lists(st.integers(0, 100)))
    @step
    def add(self, *, numbers: list[int]) -> None:
        """Some more."""
        self.sum += sum(numbers)

    @invariant()
    def check(self) -> None:
        """The law."""
        assert self.sum < 150, "the sum is large"
        self.is_well = True

    def teardown(self) -> None:
        """Leave a trace if something is wrong."""
        self.leave_trace()


def test_counterexample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A law that does not hold leaves the smallest steps against it: as a trace and as a script, both of which fail."""
    monkeypatch.setattr(SumMachine, "traces", tmp_path / "left")
    found = settings(
        max_examples=60,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError, match="the sum is large"):
        run_state_machine_as_test(SumMachine, settings=found)
    assert sorted(path.name for path in (tmp_path / "left").iterdir()) == [
        "SumMachine.json",
        "SumMachine.py",
    ]
    trace = tmp_path / "left" / "SumMachine.json"
    steps = json.loads(trace.read_text())["steps"]
    assert steps == [["add", {"numbers": [50, 100]}]]
    with pytest.raises(AssertionError, match="the sum is large"):
        replay_steps(SumMachine, trace)
    script = trace.with_suffix(".py").read_text()
    module = f"from {SumMachine.__module__} import"
    assert script.startswith(module)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    run = tmp_path / "run.py"
    run.write_text(script.replace(module, f"from {Path(__file__).stem} import"))
    path = [str(Path(__file__).parent), str(Path(__file__).parents[3])]
    program = f"import sys; sys.path[:0] = {path}; exec(open({str(run)!r}).read())"
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert outcome.returncode == 1
    assert outcome.stderr.rstrip().endswith("AssertionError: the sum is large")


def test_a_trace_of_steps(tmp_path: Path) -> None:
    """Steps that hold are done again without a word; a file that is none, or of another machine, is refused."""
    start = {"specs": [[[5000, 1, True]] * 3], "plan": "exact", "amplify_io": 0, "part": None}
    steps = [["start", start | {"kind": "raw", "blobs": "batched"}], ["read", {"raw": [[1, 0, -1]]}], ["restart", {}]]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"machine": ["storage.testing.machine", "CacheMachine"], "steps": steps}))
    replay_steps(CacheMachine, path)
    with pytest.raises(TraceError, match="is a trace of"):
        replay_steps(SumMachine, path)
    for content in ("", "[]", '{"machine": 5}'):
        path.write_text(content)
        with pytest.raises(TraceError, match="is not a trace of steps"):
            replay_steps(CacheMachine, path)


NEW: list[tuple[str, dict[str, Any]]] = [
    ("stream", {}),
    ("read", {"raw": [(0, 3, -1), (5, 0, -1)]}),
    ("enter", {}),
    ("read_at_once", {"raws": [[(1, 0, -1)], [(4, 0, -1)]]}),
    ("restart", {}),
    ("stream", {}),
]


@pytest.mark.parametrize(("blobs", "part"), [("alone", None), ("alone", 0.5), ("zran", 0.5), ("batched", 0.1)])
def test_a_script(blobs: str, part: float | None, tmp_path: Path) -> None:
    """Streams, an index, watermarks and gzip layers: the steps hold, and what they are printed as runs as a program."""
    specs = [[(5000, number, True) for number in range(4)], [(300, 9, False)]]
    start = {"specs": specs, "plan": "exact", "amplify_io": 8000, "part": part, "kind": "plain", "blobs": blobs}
    state = CacheMachine()
    try:
        for name, arguments in [("start", start | {"marks": (1, 3), "dedup": True}), *NEW]:
            getattr(state, name)(**arguments)
            state.check()
    finally:
        state.teardown()
    (tmp_path / "run.py").write_text(state.script())
    command = [sys.executable, str(tmp_path / "run.py")]
    path = {"PYTHONPATH": str(Path(__file__).parents[3])}
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, env=os.environ | path)
    assert (outcome.returncode, outcome.stderr) == (0, "")
