"""What a run looks like: numbers on one screen, pictures, a report, a trace to zoom into, a panel to play with."""

from workbench.view._compare import Comparison, compare
from workbench.view._ranking import Ranking
from workbench.view._style import CAUSES, COLOURS, Picture
from workbench.view._summary import Summary, summarize
from workbench.view._table import Run

__all__ = ["CAUSES", "COLOURS", "Comparison", "Picture", "Ranking", "Run", "Summary", "compare", "summarize"]
