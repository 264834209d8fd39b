"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

from storage.errors import IntegrityError, StorageError

__all__ = ["Problem", "Report", "problem_of"]

MAX_PROBLEMS = 1000


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    kind
        Of what: ``open``, ``link``, ``name``, ``dirent``, ``attribute``, ``pointer``, ``prefetch``,
        ``blob``, ``chunk``.
    what
        A sentence without the full stop.
    where
        A path, a blob, a chunk: whatever says best.
    """

    kind: str
    what: str
    where: str


def problem_of(error: StorageError, kind: str) -> Problem:
    """An error of ours as a problem."""
    return Problem(kind, error.message, ", ".join(f"{key} {value}" for key, value in error.where.items()))


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes
    ----------
    problems
        What is wrong; empty if nothing is. At most `MAX_PROBLEMS`.
    version, compressor, blobs
        The RAFS version, how chunks are compressed, and the ids of the blobs.
    files, chunks
        How many there are.
    verified, verified_bytes
        How many chunks were fetched, decompressed and found to have their digest, and their plain bytes.
    """

    problems: tuple[Problem, ...]
    version: int = 0
    compressor: str = ""
    blobs: tuple[str, ...] = ()
    files: int = 0
    chunks: int = 0
    verified: int = 0
    verified_bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def raise_first(self) -> None:
        """Raise the first problem, if there is one.

        Raises
        ------
        IntegrityError
            With what is wrong, and where.
        """
        for problem in self.problems:
            raise IntegrityError(problem.what, where=problem.where or None)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON has it; the first keys are those of ``nydus-image check``."""
        return {
            "blobs": list(self.blobs),
            "fs_version": str(self.version),
            "compressor": self.compressor,
            "files": self.files,
            "chunks": self.chunks,
            "verified": self.verified,
            "verified_bytes": self.verified_bytes,
            "problems": [problem._asdict() for problem in self.problems],
        }

    def _repr_html_(self) -> str:
        said = f"{self.files:,} files, {self.chunks:,} chunks, {self.verified:,} of them verified"
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.problems)
        verdict = f"{len(self.problems):,} problems" if rows else "nothing is wrong"
        return f"<b>{verdict}</b>: {said}<table>{rows}</table>"
