"""What can be done with an image as a whole."""

from storage.image.verbs._check import check
from storage.image.verbs._inspect import inspect_blobs, inspect_chunk, inspect_file, inspect_prefetch
from storage.image.verbs._merge import Merged, merge
from storage.image.verbs._overlay import overlay
from storage.image.verbs._report import Problem, Report
from storage.image.verbs._statistics import Statistics, statistics

__all__ = [
    "Merged",
    "Problem",
    "Report",
    "Statistics",
    "check",
    "inspect_blobs",
    "inspect_chunk",
    "inspect_file",
    "inspect_prefetch",
    "merge",
    "overlay",
    "statistics",
]
