"""Admission policies: three functions each, which go before those of any eviction policy.

``policy.get("lru+tinylfu")`` is both as one policy, for the live cache as for replay. There are ``all``, ``tinylfu``,
``size=128KiB`` (chunks up to a size) and ``probabilistic=0.5`` (a share of newcomers). One of one's own, in numba's
subset, here what was missed before::

    def arena(chunks):
        return chunks, 0

    def init(ints, floats, sizes, capacity):
        for chunk in range(len(sizes)):
            ints[chunk] = 0

    def on_use(ints, floats, chunk):
        ints[chunk] += 1

    def admits(ints, floats, chunk, victim):
        return 1 if ints[chunk] > 1 else 0

    again = AdmissionPolicy("again", arena, Gate(init, on_use, admits))
    simulate(trace, admission.guard(policy.get("lru"), again), 256 << 20)

By name, from an installed package::

    [project.entry-points."workbench.admissions"]
    again = "my_package:again"

A plain class for `workbench.policy.from_class` says ``admits(chunk)`` itself. `workbench.testing.AdmissionConformance`
says whether one keeps to what the store and the engine rely on.
"""

from workbench.policy.admission._gate import Gate
from workbench.policy.admission._policy import AdmissionPolicy, get, guard, names

__all__ = ["AdmissionPolicy", "Gate", "get", "guard", "names"]
