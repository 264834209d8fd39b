"""Everything that may happen to a cache, in any order."""

from __future__ import annotations

from hypothesis import settings

from storage.testing.machine import CacheMachine

TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
