"""Compiled code on disk: found again, never stale, and not needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench._compile import compile_function, fingerprint

Outcome = Callable[..., tuple[int, str, int]]
MODULE = """
from typing import NamedTuple
class Names(NamedTuple):
    A: int = {field}
Name = Names()
STEP = {step}
def inner(x):
    return x + STEP + Name.A {more}
def outer(x):
    return inner(x) * 2
"""
RUN = """
import sys, types
source, path = sys.argv[1:]
open(path, "w").write(source)
module = sys.modules["workbench.made_up"] = types.ModuleType("workbench.made_up")
exec(compile(source, path, "exec"), module.__dict__)
from workbench._compile import compile_function, fingerprint
compiled = compile_function(module.outer)
print(compiled(1), fingerprint(module.outer), sum(compiled.stats.cache_hits.values()))
"""


@pytest.fixture
def result_of(tmp_path: Path) -> Outcome:
    """Compiles and calls a module's function in a fresh process: result, fingerprint, and how often disk was enough."""

    def run(cache: str = "cache", **parts: object) -> tuple[int, str, int]:
        source = MODULE.format(**({"field": 1, "step": 10, "more": ""} | parts))
        where = {"NUMBA_CACHE_DIR": str(tmp_path / cache), "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": "/"}
        done = subprocess.run(
            [sys.executable, "-c", RUN, source, str(tmp_path / "made_up.py")],
            env=where, capture_output=True, check=True, text=True,
        )  # fmt: skip
        result, mark, hits = done.stdout.split()
        return int(result), mark, int(hits)

    return run


def test_found_again_and_never_stale(result_of: Outcome) -> None:
    """The second process compiles nothing; a constant, a named field or a called function that changes does count."""
    first, again = result_of(), result_of()
    assert first == (24, first[1], 0)
    assert again == (24, first[1], 1)
    changed = [result_of(step=20), result_of(field=2), result_of(more="+ 100")]
    assert [result for result, _, _ in changed] == [44, 26, 224]
    assert [hits for _, _, hits in changed] == [0, 0, 0]
    assert len({first[1], *(mark for _, mark, _ in changed)}) == 4


def test_damaged_files_are_no_matter(result_of: Outcome, tmp_path: Path) -> None:
    """What was cut short on disk is compiled again, and mended."""
    result_of()
    for path in (tmp_path / "cache").rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:40])
    assert result_of()[::2] == (24, 0)
    assert result_of()[::2] == (24, 1)


def test_nowhere_to_keep(result_of: Outcome, tmp_path: Path) -> None:
    """Where nothing can be written, all works, only slower."""
    (tmp_path / "file").write_text("in the way")
    assert result_of(cache="file") == (24, result_of(cache="file")[1], 0)


def test_fingerprint_reaches_the_decider() -> None:
    """The engine's fingerprint covers the decider's functions, so that a change of plan is never answered from disk."""
    from workbench._compile import _parts
    from workbench.replay._engine import run

    reached = " ".join(_parts(run, set()))
    assert all(name in reached for name in ("_advance_exact", "_make_room", "quantile_of", "count_served"))
    assert len(fingerprint(run)) == 32


def last_and(values: Any, place: int) -> int:
    """One of ours: an index that is written down may count from the end."""
    return int(values[-1] * 10 + values[place])


def test_written_indices_count_from_the_end() -> None:
    """The last of an array is its last, as it is in plain Python."""
    last_and.__module__ = "workbench.made_up"
    values = np.array([1, 2, 3])
    assert compile_function(last_and)(values, 0) == last_and(values, 0) == 31
