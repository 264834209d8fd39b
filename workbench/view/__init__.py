"""What a run looks like: numbers on one screen, pictures, a report, a trace to zoom into, a panel to play with."""

from workbench.view._bandwidth import bandwidth, rates
from workbench.view._blob_map import blob_map
from workbench.view._compare import Comparison, compare
from workbench.view._grid import grid
from workbench.view._heat import heat, heat_map
from workbench.view._latency import cdf, latency
from workbench.view._panel import Panel, panel
from workbench.view._perfetto import perfetto, write_perfetto
from workbench.view._ranking import Ranking
from workbench.view._report import report, write_report
from workbench.view._style import CAUSES, COLOURS, Picture
from workbench.view._summary import Summary, summarize
from workbench.view._table import Run, touched
from workbench.view._waterfall import waterfall

__all__ = [
    "CAUSES",
    "COLOURS",
    "Comparison",
    "Panel",
    "Picture",
    "Ranking",
    "Run",
    "Summary",
    "bandwidth",
    "blob_map",
    "cdf",
    "compare",
    "grid",
    "heat",
    "heat_map",
    "latency",
    "panel",
    "perfetto",
    "rates",
    "report",
    "summarize",
    "touched",
    "waterfall",
    "write_perfetto",
    "write_report",
]
