"""What nydusd counts, under its names: of the file system, of the cache, of the backend."""

from storage.metrics._cache import CacheMetrics
from storage.metrics._classes import LATENCY_CLASSES, SIZE_CLASSES, latency_class, millis_class, size_class
from storage.metrics._fop import Fop
from storage.metrics._fs import FsIoStats
from storage.metrics._table import metrics_table

__all__ = [
    "LATENCY_CLASSES",
    "SIZE_CLASSES",
    "CacheMetrics",
    "Fop",
    "FsIoStats",
    "latency_class",
    "metrics_table",
    "millis_class",
    "size_class",
]
