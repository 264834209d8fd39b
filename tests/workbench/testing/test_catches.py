"""Each law of the conformance suites fails for a policy that breaks it: no check is there for nothing."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from storage.errors import ConfigError, IntegrityError
from storage.plan import Ahead, Amplify, Batches, Layout
from tests.workbench.policy._classes import Oldest
from workbench import policy
from workbench.policy import EvictionPolicy
from workbench.policy.admission import AdmissionPolicy, Gate
from workbench.policy.prefetch import Bound, Known, PrefetchPolicy, from_class
from workbench.testing import (
    AdmissionConformance,
    AmplifyConformance,
    EvictionConformance,
    PrefetchConformance,
    small_image,
)

I64 = npt.NDArray[np.int64]
CAUGHT = (AssertionError, ConfigError, IndexError, IntegrityError, ExceptionGroup)


@pytest.fixture(scope="module")
def image_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of the suites."""
    return small_image(tmp_path_factory.mktemp("image"))


def listed(rows: Callable[[Known], I64 | Batches]) -> PrefetchPolicy:
    """A policy of a list alone."""
    return PrefetchPolicy("listed", lambda known: Bound(rows(known)))


def answering(on_read: Any, words: int = 1) -> PrefetchPolicy:
    """A policy of a function alone."""
    return PrefetchPolicy("answering", lambda known: Bound(ahead=Ahead(on_read, np.zeros(words, np.int64), np.ones(1))))


def past_the_end(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    """The chunk behind the last, of which `out` has room for each."""
    out[0] = len(out)
    return 1


def too_many(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    """More than there is room for."""
    return len(out) + 1


def too_large(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    """Numbers beyond 64 bits, which plain code has and compiled code has not."""
    out[0] = (chunk + 1) * 6364136223846793005 // 1000003 % len(out)
    return 1


class Drawn:
    """Draws what no seed decides."""

    def __init__(self, layout: Layout) -> None:
        self.chunks = len(layout.size)

    def on_read(self, chunk: int, ready: bool) -> list[int]:
        """Any."""
        return [random.SystemRandom().randrange(self.chunks)]


class Remembers:
    """Learns from one process for the next."""

    seen: ClassVar[list[int]] = []

    def __init__(self, layout: Layout) -> None:
        pass

    def on_read(self, chunk: int, ready: bool) -> list[int]:
        """What was read before, in this life or another."""
        self.seen.append(chunk)
        return self.seen[-6:-1]


_turns = itertools.count()


def _turned(known: Known) -> I64:
    return np.roll(np.arange(len(known.layout.size)), next(_turns))


def _sorted_in_place(known: Known) -> I64:
    known.layout.start.sort()
    return np.arange(3)


PREFETCH = {
    "a list beyond the image": ("test_lists_chunks", listed(lambda known: np.array([0, len(known.layout.size)]))),
    "a list of shares": ("test_lists_chunks", listed(lambda known: np.array([0.5]))),  # type: ignore[arg-type, return-value]
    "beyond the last chunk": ("test_suggests_chunks", answering(past_the_end)),
    "more than there is room": ("test_suggests_chunks", answering(too_many)),
    "drawn": ("test_same_again", from_class(Drawn)),
    "learnt before": ("test_same_again", from_class(Remembers)),
    "another list each time": ("test_same_again", listed(_turned)),
    "writes to the layout": ("test_leaves_the_layout_alone", listed(_sorted_in_place)),
    "requests that leave some out": (
        "test_loses_nothing",
        listed(lambda known: Batches(np.arange(len(known.layout.size)), np.array([0, 3]))),
    ),
    "large numbers": ("test_compiled_as_plain", answering(too_large)),
    "drawn live": ("test_live_as_replayed", from_class(Drawn)),
}


@pytest.mark.parametrize("what", PREFETCH)
def test_prefetch(what: str, image_dir: Path, tmp_path: Path) -> None:
    """Lists, suggestions, memory and layouts that no store or engine could rely on."""
    law, broken = PREFETCH[what]
    suite = PrefetchConformance()
    suite.policy = broken
    more: tuple[Any, ...] = (tmp_path, "exact") if law == "test_live_as_replayed" else ()
    with pytest.raises(CAUGHT):
        getattr(suite, law)(image_dir, *more)


class Amplified(AmplifyConformance):
    """The suite with a policy made by a function."""

    longest = 20_000

    def __init__(self, made: Callable[[I64, Layout], Amplify]) -> None:
        self.made = made

    def make(self, needed: I64, layout: Layout) -> Amplify:
        """What the function makes."""
        return self.made(needed, layout)


def _emptied(needed: I64, layout: Layout) -> Amplify:
    layout.size[:] = 0
    return Amplify("own", layout.size)


def _drawn(needed: I64, layout: Layout) -> Amplify:
    seed = random.SystemRandom().randrange(1 << 40)
    return Amplify("own", np.random.default_rng(seed).integers(0, 20_000, len(layout.size)))


AMPLIFY: dict[str, tuple[str, Callable[[I64, Layout], Amplify]]] = {
    "a window too few": ("test_a_window_for_each_chunk", lambda _, layout: Amplify("own", layout.size[1:])),
    "negative": ("test_a_window_for_each_chunk", lambda _, layout: Amplify("own", -layout.size)),
    "too long": ("test_a_window_for_each_chunk", lambda _, layout: Amplify("own", 30_000)),
    "grows too long": ("test_no_further_than_it_says", lambda _, layout: Amplify("own", 18_000, limit=90_000)),
    "drawn": ("test_same_again", _drawn),
    "writes to the layout": ("test_same_again", _emptied),
    "drawn live": ("test_live_as_replayed", _drawn),
}


@pytest.mark.parametrize("what", AMPLIFY)
def test_amplify(what: str, image_dir: Path, tmp_path: Path) -> None:
    """Windows that are not there, are too long, or are others each time."""
    law, made = AMPLIFY[what]
    more = (tmp_path,) if law == "test_live_as_replayed" else ()
    with pytest.raises(CAUGHT):
        getattr(Amplified(made), law)(image_dir, *more)


def _nothing(ints: Any, floats: Any, *rest: Any) -> None:
    pass


def _count(ints: Any, floats: Any, chunk: int) -> None:
    ints[0] += 1


def _many(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return chunk + 1


def _parity(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return ints[0] % 2


def _outside(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return 1 if ints[5] == 0 else 0


def _grows(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return 1 if (chunk + 3) * 6364136223846793005 % 1000003 % 2 == 0 else 0


def _any(ints: Any, floats: Any, chunk: int, victim: int) -> int:
    return random.SystemRandom().randrange(2)


def gate(admits: Any, on_use: Any = _nothing) -> AdmissionPolicy:
    """A policy with a word of memory."""
    return AdmissionPolicy("broken", lambda chunks: (1, 0), Gate(_nothing, on_use, admits))


ADMISSION = {
    "neither yes nor no": ("test_yes_or_no", gate(_many)),
    "memory that it has not": ("test_yes_or_no", gate(_outside)),
    "begins where it ended": ("test_init_forgets_uses", gate(_parity, _count)),
    "drawn": ("test_init_forgets_uses", gate(_any)),
    "large numbers": ("test_simulated_as_by_hand", gate(_grows)),
}


@pytest.mark.parametrize("what", ADMISSION)
def test_admission(what: str) -> None:
    """Answers that are none, that memory or luck decides, or that compiled code gives otherwise."""
    law, broken = ADMISSION[what]
    suite = AdmissionConformance()
    suite.admission = broken
    with pytest.raises(CAUGHT):
        getattr(suite, law)()


class Pinned(Oldest):
    """Looks at no pin."""

    def victim(self, pinned: Any, chunk: int) -> int:
        """The oldest, pinned or not."""
        return self.chunks[0] if self.chunks else -1


class Forgetful(Oldest):
    """Loses every third chunk."""

    def on_admit(self, chunk: int) -> None:
        """Two of three."""
        if chunk % 3:
            self.chunks.append(chunk)

    def on_remove(self, chunk: int) -> None:
        """If it was there."""
        if chunk in self.chunks:
            self.chunks.remove(chunk)


class Gone(Oldest):
    """Names who has gone."""

    def on_remove(self, chunk: int) -> None:
        """It stays on the list."""


class Fickle(Oldest):
    """Says something else each time."""

    def victim(self, pinned: Any, chunk: int) -> int:
        """The first goes to the end of the line."""
        self.chunks = self.chunks[1:] + self.chunks[:1]
        return super().victim(pinned, chunk)


class Moody(Oldest):
    """The oldest goes in one life, in the next nothing does."""

    lives = itertools.count()

    def __init__(self, sizes: Any, capacity: int) -> None:
        """Another life."""
        super().__init__(sizes, capacity)
        self.turned = next(self.lives) % 2

    def victim(self, pinned: Any, chunk: int) -> int:
        """The oldest, or none."""
        return -1 if self.turned else super().victim(pinned, chunk)


class Immortal(Oldest):
    """Begins with what another had."""

    held: ClassVar[list[int]] = []

    def __init__(self, sizes: Any, capacity: int) -> None:
        """Nothing is new."""
        self.chunks = self.held


EVICTION = {
    "pinned": ("test_pinned_are_no_victims", Pinned),
    "forgotten": ("test_all_go_in_the_end", Forgetful),
    "gone": ("test_victims_are_held_and_free", Gone),
    "fickle": ("test_asking_twice_changes_nothing", Fickle),
    "older than it is": ("test_init_forgets", Immortal),
    "moody": ("test_simulated_as_by_hand", Moody),
    "moody live": ("test_live_as_simulated", Moody),
    "with nothing in it": ("test_empty_has_no_victim", Immortal),
}


@pytest.mark.parametrize("what", EVICTION)
def test_eviction(what: str) -> None:
    """Victims that are pinned, gone, forgotten, others in each life, or not the same when asked again."""
    law, broken = EVICTION[what]
    suite = EvictionConformance()
    Immortal.held[:] = [4]
    suite.policy = policy.from_class(broken)
    with pytest.raises(CAUGHT):
        getattr(suite, law)()


def test_what_is_right_passes() -> None:
    """The class that the broken ones are made of breaks none of these laws."""
    suite = EvictionConformance()
    suite.policy = policy.from_class(Oldest)
    assert isinstance(suite.policy, EvictionPolicy)
    for law, _ in EVICTION.values():
        getattr(suite, law)()
