"""Caches without time: how often is it a miss, under which policy, at which size?"""

from workbench.simulate._bounds import Bound, lower_bound
from workbench.simulate._curve import Curve, lru_curve, shards_curve
from workbench.simulate._objects import ObjectTrace
from workbench.simulate._run import Outcome, simulate

__all__ = ["Bound", "Curve", "ObjectTrace", "Outcome", "lower_bound", "lru_curve", "shards_curve", "simulate"]
