"""The options that the reference was given, as ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Asked", "asked"]

_WORDS = {"-v": "version", "--fs-version": "version", "--compressor": "compressor", "--digester": "digester"}
_WORDS |= {"--chunk-size": "chunk_size", "--batch-size": "batch_size", "--prefetch-policy": "prefetch_policy"}
_FLAGS = {"--encrypt": "encrypt", "--blob-inline-meta": "inline", "--aligned-chunk": "aligned_chunk"}
_NUMBERS = ("version", "chunk_size", "batch_size")
_OF_OTHERS = ("--blob-id", "--log-level", "--whiteout-spec")  # which change nothing in what is made
_DIRECTORIES = ("dir-rafs", "directory")


class Asked(NamedTuple):
    """What a source was built as, and keyword arguments of `build`; what we have no word for."""

    conversion: str
    options: dict[str, Any]
    unknown: list[str]

    @property
    def of_directory(self) -> bool:
        """Whether the source was a directory."""
        return self.conversion in _DIRECTORIES


def asked(words: Sequence[str]) -> Asked:
    """Take a command line of ``nydus-image create`` apart."""
    found = Asked("directory", {}, [])
    rest = iter(words)
    for word in rest:
        if word in ("-t", "--type"):
            found = found._replace(conversion=next(rest))
        elif word in _WORDS:
            value = next(rest)
            found.options[_WORDS[word]] = int(value, 0) if _WORDS[word] in _NUMBERS else value
        elif word in _FLAGS:
            found.options[_FLAGS[word]] = True
        elif word == "--features" and (value := next(rest)) == "blob-toc":
            found.options["toc"] = True
        elif word in _OF_OTHERS:
            next(rest)
        else:
            found.unknown.append(word)
    return found
