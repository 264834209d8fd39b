"""Eviction policies: five functions each, the same for the live cache and for compiled replay."""

from workbench.policy._policy import EvictionPolicy, get, is_built_in, names
from workbench.policy._python import PythonPolicy, from_class

__all__ = ["EvictionPolicy", "PythonPolicy", "from_class", "get", "is_built_in", "names"]
