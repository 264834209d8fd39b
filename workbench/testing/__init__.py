"""Conformance suites for policies of one's own, compiled and replayed and live: subclass one, and pytest runs it.

Each is given a policy, and holds it to what the store and the engine rely on. That it is any good, they cannot say::

    class TestEviction(EvictionConformance):
        policy = workbench.policy.from_class(Mine)

    class TestAdmission(AdmissionConformance):
        admission = AdmissionPolicy("again", arena, Gate(init, on_use, admits))

    class TestPrefetch(PrefetchConformance):
        policy = prefetch.from_class(Next)

    class TestAmplify(AmplifyConformance):
        longest = 1 << 20

        def make(self, needed, layout):
            return Amplify("thrifty", np.minimum(layout.size, self.longest))

They need pytest and hypothesis, which the package itself does not.
"""

from workbench.testing._admission import AdmissionConformance
from workbench.testing._amplify import AmplifyConformance
from workbench.testing._eviction import EvictionConformance
from workbench.testing._prefetch import PrefetchConformance
from workbench.testing._serial import in_order, random_reads, run_serially, small_image

__all__ = [
    "AdmissionConformance",
    "AmplifyConformance",
    "EvictionConformance",
    "PrefetchConformance",
    "in_order",
    "random_reads",
    "run_serially",
    "small_image",
]
