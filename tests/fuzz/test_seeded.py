"""The fuzzer's targets over their seeds and a few hundred mutations of each, the same ones every time."""

from __future__ import annotations

import random
import time

import pytest

from storage.errors import StorageError
from tests.fuzz.targets import TARGETS

MUTATIONS = 250
VALUES = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(draw: random.Random, seed: bytes) -> bytes:
    """Bytes changed, counts set to extremes, pieces cut out, doubled or moved."""
    out = bytearray(seed)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        at = draw.randrange(len(out) + 1)
        kind = draw.randrange(6)
        if kind == 0:
            out[at : at + 1] = bytes([draw.choice(VALUES)])
        elif kind == 1:
            out[at : at + 4] = draw.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", draw.randbytes(4)))
        elif kind == 2:
            out[at : at + 8] = (1 << draw.randrange(64)).to_bytes(8, "little")
        elif kind == 3:
            del out[at : at + draw.choice((1, 16, 512))]
        elif kind == 4:
            out[at:at] = out[at : at + draw.choice((1, 32, 512))]
        else:
            out[at : at + 1] = bytes([draw.randrange(256)])
    return bytes(out)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    """What mutation starts from is whole: the target makes sense of it."""
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str) -> None:
    """Whatever is changed: our own error or none, within two seconds of work."""
    draw, refused = random.Random(name), 0
    seeds = TARGETS[name].seeds()
    for number in range(MUTATIONS):
        data = mutated(draw, seeds[number % len(seeds)])
        began = time.thread_time()
        try:
            TARGETS[name].run(data)
        except StorageError as error:
            assert error.message
            refused += 1
        assert time.thread_time() - began < 2
    assert refused  # else nothing of it was read
