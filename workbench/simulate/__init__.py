"""Caches without time: how often is it a miss, under which policy, at which size?"""

from workbench.simulate._objects import ObjectTrace
from workbench.simulate._run import Outcome, simulate

__all__ = ["ObjectTrace", "Outcome", "simulate"]
