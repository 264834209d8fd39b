"""Fuzz one target, guided by coverage: ``python -m tests.fuzz.run bootstrap-v6 --runs 100000``.

Needs atheris (``pip install -e '.[fuzz]'``). Whatever a target raises but our own errors ends the
run, as do two seconds of work over one input and a GiB; libFuzzer then writes the input to ``--findings``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["storage"]):
    from storage.errors import StorageError
    from tests.fuzz.targets import TARGETS

_LIMIT_S = 2


def main() -> None:
    """Parse arguments, write the seeds, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="A folder to keep what covered something new.")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    asked = parser.parse_args()
    target = TARGETS[asked.target]
    corpus = asked.corpus or Path(tempfile.mkdtemp(prefix="corpus-"))
    corpus.mkdir(parents=True, exist_ok=True)
    asked.findings.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    longest = max(len(seed) for seed in target.seeds())

    def one(data: bytes) -> None:
        began = time.thread_time()
        try:
            target.run(data)
        except StorageError as error:
            str(error)
        spent = time.thread_time() - began
        assert spent < _LIMIT_S, f"took {spent:.1f} s"

    options = {
        "runs": asked.runs,
        "seed": asked.seed,
        "timeout": 30,  # of what waits, or never ends: a busy machine is no hang
        "rss_limit_mb": 1536,
        "max_len": longest * 2,
        "print_final_stats": 1,
        "artifact_prefix": f"{asked.findings}/{asked.target}-",
    }
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
