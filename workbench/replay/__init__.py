"""Replay a recorded workload on a virtual clock, under another cache, prefetch, link or layout."""

from workbench.replay._cpu import Cpu, calibrate
from workbench.replay._grid import grid
from workbench.replay._result import Result
from workbench.replay._run import replay
from workbench.replay._settings import Settings
from workbench.replay._workload import Workload

__all__ = ["Cpu", "Result", "Settings", "Workload", "calibrate", "grid", "replay"]
