"""Where blobs come from: one file a backend, and wrappers that go around any of them."""

from storage.backend._base import BlobBackend, BlobReader, Transfer
from storage.backend._faulty import (
    Delay,
    Fault,
    FaultyBackend,
    Refuse,
    Reset,
    Stall,
    Truncate,
    WrongBytes,
    scripted,
    seeded,
)
from storage.backend._http_proxy import HttpProxy
from storage.backend._localdisk import LocalDisk
from storage.backend._localfs import LocalFs
from storage.backend._metered import MeteredBackend, meters_of
from storage.backend._metrics_table import metrics_rows
from storage.backend._oss import Oss
from storage.backend._plugins import open_plugin, plugin_names
from storage.backend._recording import RecordedRequest, RecordingBackend
from storage.backend._routed import RoutedBackend
from storage.backend._s3 import S3
from storage.backend._shape import LINKS, Link
from storage.backend._shaped import ShapedBackend
from storage.backend._source import RequestSource, prefetching, request_source
from storage.backend._stream import copy_blob
from storage.backend._wrapped import WrappedReader

__all__ = [
    "LINKS",
    "S3",
    "BlobBackend",
    "BlobReader",
    "Delay",
    "Fault",
    "FaultyBackend",
    "HttpProxy",
    "Link",
    "LocalDisk",
    "LocalFs",
    "MeteredBackend",
    "Oss",
    "RecordedRequest",
    "RecordingBackend",
    "Refuse",
    "RequestSource",
    "Reset",
    "RoutedBackend",
    "ShapedBackend",
    "Stall",
    "Transfer",
    "Truncate",
    "WrappedReader",
    "WrongBytes",
    "copy_blob",
    "meters_of",
    "metrics_rows",
    "open_plugin",
    "plugin_names",
    "prefetching",
    "request_source",
    "scripted",
    "seeded",
]
