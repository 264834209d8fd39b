"""What can be done with an image as a whole."""

from storage.image.verbs._check import check
from storage.image.verbs._chunkdict import ChunkDictMade, chunkdict
from storage.image.verbs._compact import compact
from storage.image.verbs._convert import Converted, convert
from storage.image.verbs._diff import Difference, diff
from storage.image.verbs._export import Exported, block_map, export_block, export_devices
from storage.image.verbs._inspect import inspect_blobs, inspect_chunk, inspect_file, inspect_prefetch
from storage.image.verbs._layers import LayeredTree, docker_layers, oci_layers
from storage.image.verbs._merge import Merged, merge
from storage.image.verbs._optimize import FileRanges, optimize, parse_prefetch_files
from storage.image.verbs._overlay import overlay
from storage.image.verbs._parent import build_on
from storage.image.verbs._rebuild import Rebuilt
from storage.image.verbs._report import Problem, Report
from storage.image.verbs._statistics import Statistics, statistics
from storage.image.verbs._unpack import Unpacked, unpack
from storage.image.verbs._verity import Verity

__all__ = [
    "ChunkDictMade",
    "Converted",
    "Difference",
    "Exported",
    "FileRanges",
    "LayeredTree",
    "Merged",
    "Problem",
    "Rebuilt",
    "Report",
    "Statistics",
    "Unpacked",
    "Verity",
    "block_map",
    "build_on",
    "check",
    "chunkdict",
    "compact",
    "convert",
    "diff",
    "docker_layers",
    "export_block",
    "export_devices",
    "inspect_blobs",
    "inspect_chunk",
    "inspect_file",
    "inspect_prefetch",
    "merge",
    "oci_layers",
    "optimize",
    "overlay",
    "parse_prefetch_files",
    "statistics",
    "unpack",
]
