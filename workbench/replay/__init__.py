"""Replay a recorded workload on a virtual clock, under another cache, prefetch, link or layout."""

from workbench.replay._bound import lower_bound
from workbench.replay._cpu import Cpu, calibrate
from workbench.replay._decisions import decisions
from workbench.replay._fit import Fit, fit
from workbench.replay._fleet import fleet, together
from workbench.replay._grid import grid
from workbench.replay._live import Live, run_live
from workbench.replay._result import Result
from workbench.replay._run import replay
from workbench.replay._settings import LOOPS, PREFETCH, Settings
from workbench.replay._sweep import Sweep, sweep
from workbench.replay._validate import Validation, validate
from workbench.replay._workload import Workload

__all__ = [
    "LOOPS",
    "PREFETCH",
    "Cpu",
    "Fit",
    "Live",
    "Result",
    "Settings",
    "Sweep",
    "Validation",
    "Workload",
    "calibrate",
    "decisions",
    "fit",
    "fleet",
    "grid",
    "lower_bound",
    "replay",
    "run_live",
    "sweep",
    "together",
    "validate",
]
