"""What can be done with an image as a whole."""

from storage.image.verbs._check import check
from storage.image.verbs._convert import Converted, convert
from storage.image.verbs._export import Exported, block_map, export_block, export_devices
from storage.image.verbs._inspect import inspect_blobs, inspect_chunk, inspect_file, inspect_prefetch
from storage.image.verbs._merge import Merged, merge
from storage.image.verbs._overlay import overlay
from storage.image.verbs._report import Problem, Report
from storage.image.verbs._statistics import Statistics, statistics
from storage.image.verbs._unpack import Unpacked, unpack
from storage.image.verbs._verity import Verity

__all__ = [
    "Converted",
    "Exported",
    "Merged",
    "Problem",
    "Report",
    "Statistics",
    "Unpacked",
    "Verity",
    "block_map",
    "check",
    "convert",
    "export_block",
    "export_devices",
    "inspect_blobs",
    "inspect_chunk",
    "inspect_file",
    "inspect_prefetch",
    "merge",
    "overlay",
    "statistics",
    "unpack",
]
