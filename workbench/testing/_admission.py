"""A conformance suite for admission policies."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workbench import policy
from workbench.policy import EvictionPolicy
from workbench.policy.admission import AdmissionPolicy, guard
from workbench.testing._eviction import OBJECTS, REQUESTS, SIZES, EvictionConformance, lenient

__all__ = ["AdmissionConformance"]


class AdmissionConformance(EvictionConformance):
    """Subclass it as ``TestSomething`` and give it `admission`; both as one policy are held to all of eviction, too."""

    admission: AdmissionPolicy
    eviction: EvictionPolicy = policy.get("lru")
    """What it goes before."""

    @property
    def policy(self) -> EvictionPolicy:  # type: ignore[override]  # nobody sets it
        """Both as one."""
        return guard(self.eviction, self.admission)

    @lenient
    @given(REQUESTS, SIZES, st.integers(1, 30))
    def test_yes_or_no(self, requests: list[int], sizes: list[int], capacity: int) -> None:
        """Whether a newcomer is admitted is 0 or 1, with a victim and without."""
        assert set(self._answers(requests, sizes, capacity)) <= {0, 1}

    @lenient
    @given(REQUESTS, SIZES, st.integers(1, 30))
    def test_init_forgets_uses(self, requests: list[int], sizes: list[int], capacity: int) -> None:
        """After ``init`` the same questions have the same answers, whatever the arenas hold."""
        once, again = (self._answers(requests, sizes, capacity, used) for used in (0, 1))
        assert once == again

    def _answers(self, requests: list[int], sizes: list[int], capacity: int, used: int = 0) -> list[int]:
        """What is said of one request after the other, each asked with no victim and with the one before it."""
        words, numbers = self.admission.arena(OBJECTS)
        ints, floats = np.full(words, used, np.int64).data, np.full(numbers, float(used)).data
        gate, answers = self.admission.gate, []
        gate.init(ints, floats, np.asarray(sizes, np.int64).data, capacity)
        for victim, chunk in zip([-1, *requests], requests, strict=False):
            gate.on_use(ints, floats, chunk)
            answers += [gate.admits(ints, floats, chunk, -1), gate.admits(ints, floats, chunk, victim)]
        return answers
