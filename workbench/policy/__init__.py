"""Eviction policies: five functions each, the same for the live cache and for compiled replay.

A policy of one's own comes in three ways. A plain class, slower and free to use anything::

    class Newest:
        def __init__(self, sizes, capacity):
            self.chunks = []

        def on_hit(self, chunk):
            pass

        def on_admit(self, chunk):
            self.chunks.append(chunk)

        def victim(self, pinned, chunk):
            return next((c for c in reversed(self.chunks) if not pinned[c]), -1)

        def on_remove(self, chunk):
            self.chunks.remove(chunk)

    simulate(trace, policy.from_class(Newest), 256 << 20)

Functions in numba's subset, which run as fast as the built-in ones; this one has the largest chunk go, whose size is
negative while it is not in::

    def init(ints, floats, sizes, capacity):
        for chunk in range(len(sizes)):
            ints[chunk] = -sizes[chunk]

    def on_hit(ints, floats, chunk):
        pass

    def turn(ints, floats, chunk):
        ints[chunk] = -ints[chunk]

    def victim(ints, floats, pinned, chunk):
        best = -1
        for held in range(len(pinned)):
            if ints[held] > 0 and pinned[held] == 0 and (best < 0 or ints[held] > ints[best]):
                best = held
        return best

    largest = EvictionPolicy("largest", lambda n: (n, 1), Policy(init, on_hit, turn, victim, turn))

Either of these by name, from an installed package; `get` and every ``--eviction`` know it then::

    [project.entry-points."workbench.policies"]
    largest = "my_package:largest"

`workbench.testing.EvictionConformance` says whether it keeps to what the store and the engine rely on.

3L-Cache and LRB, which learn from gradient-boosted trees, are not here: until they are first trained, LRB on 131,072
labelled requests, they are LRU, and what starts a container reads less than that. Trained, they would rank by sums of
floats that another build of the trees rounds otherwise, so that a replay could not be proven to do what the store does.
"""

from workbench.policy import admission
from workbench.policy._eviction import EvictionPolicy
from workbench.policy._policy import get, names
from workbench.policy._python import PythonPolicy, from_class

__all__ = ["EvictionPolicy", "PythonPolicy", "admission", "from_class", "get", "names"]
