"""A panel to play with: five settings, and what the same reads would have cost under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import ipywidgets as widgets
import pyarrow as pa

from storage.errors import StorageError
from storage.plan import reach
from workbench import policy
from workbench.layout import Tables
from workbench.replay import Settings, Workload, replay
from workbench.replay._settings import amplify_of
from workbench.view._compare import compare
from workbench.view._debounce import Debounced
from workbench.view._heat import heat_map
from workbench.view._summary import summarize
from workbench.view._table import Run
from workbench.view._words import share

__all__ = ["Panel", "panel"]

_SHARES: Final = (5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 100)
_AMPLIFY: Final = (0, *(1 << power for power in range(16, 24)))
_RTT_MS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
_MBIT: Final = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_BYTES_PER_MBIT: Final = 125_000
_PICTURE: Final = {"flex": "1 1 26rem", "min_width": "0", "max_width": "46rem", "height": "auto"}
_STALE: Final = "nw-stale"
_STYLE: Final = f"<style>.{_STALE} {{ opacity: .35; }}</style>"


class Panel(widgets.VBox):
    """The panel; its controls and what they show are attributes.

    Attributes
    ----------
    eviction, cache, amplify, rtt, bandwidth
        The controls: a policy's name, percent of the bytes that the workload touches, bytes, milliseconds, Mbit/s.
    table, picture
        The cost beside that of the settings the panel began with, and the map of chunks over time.
    run
        The run that is shown.
    """

    def __init__(
        self, workload: Workload, settings: Settings, image: Tables | None, reads: pa.Table | None, delay_s: float
    ) -> None:
        self._workload, self._given, self._image, self._reads = workload, settings, image, reads
        self.run = self._replay(settings)
        self._first = summarize(self.run.events, reads)
        self.table, self.picture = widgets.HTML(), widgets.Image(format="png", layout=_PICTURE)
        self._show()
        self._make_controls()
        ask = Debounced(self._redraw, delay_s)
        controls = (self.eviction, self.cache, self.amplify, self.rtt, self.bandwidth)
        for control in controls:
            control.observe(lambda _: self._changed(ask), names="value")
        left = widgets.VBox([*controls, self.table], layout={"width": "23.5rem", "flex": "none", "overflow": "hidden"})
        row = widgets.HBox([left, self.picture], layout={"flex_flow": "row wrap", "align_items": "flex-start"})
        super().__init__([widgets.HTML(_STYLE), row])

    def __repr__(self) -> str:
        return "A panel of sliders: open this notebook in Jupyter to move them."

    @property
    def settings(self) -> Settings:
        """What the controls say."""
        bandwidth = int(self.bandwidth.value * _BYTES_PER_MBIT)
        unbounded = self.eviction.value == "none"
        return replace(
            self._given,
            eviction=self.eviction.value,
            capacity=None if unbounded else self._workload.touched_bytes * self.cache.value // 100,
            amplify_io=self.amplify.value,
            link=replace(self._given.link, rtt_ns=round(self.rtt.value * 1e6), bandwidth=bandwidth),
        )

    def _make_controls(self) -> None:
        given, whole = self._given, max(self._workload.touched_bytes, 1)
        held = 100 if given.capacity is None else round(100 * given.capacity / whole)
        online = [name for name in policy.names() if not policy.get(name).offline]
        self.eviction = widgets.Dropdown(options=online, value=given.policy.name, description="eviction")
        self.cache = _slider("cache", _SHARES, held, lambda x: f"{x} %")
        self.amplify = _slider("amplify_io", _AMPLIFY, reach(amplify_of(given, self._workload)), share)
        self.rtt = _slider("round trip", _RTT_MS, given.link.rtt_ns / 1e6, lambda x: f"{x:g} ms")
        mbit = given.link.bandwidth / _BYTES_PER_MBIT
        self.bandwidth = _slider("bandwidth", _MBIT, mbit, lambda x: f"{x:g} Mbit/s")
        self.cache.disabled = given.policy.name == "none"

    def _changed(self, ask: Debounced) -> None:
        self.cache.disabled = self.eviction.value == "none"
        for output in (self.table, self.picture):
            output.add_class(_STALE)
        ask()

    def _redraw(self) -> None:
        try:
            self.run = self._replay(self.settings)
            self._show()
        except StorageError as error:
            self.table.value, self.picture.value = f"<b>{error}</b>", b""
        for output in (self.table, self.picture):
            output.remove_class(_STALE)

    def _replay(self, settings: Settings) -> Run:
        return Run("replayed", replay(self._workload, None, settings, record=True).events(), self._reads)

    def _show(self) -> None:
        now = summarize(self.run.events, self._reads)
        self.table.value = compare({"at first": self._first, "now": now})._repr_html_()
        self.picture.value = heat_map(self.run, self._image, width=6.4, height=5.6).png()


def panel(
    workload: Workload,
    settings: Settings,
    *,
    image: Tables | None = None,
    reads: pa.Table | None = None,
    delay_s: float = 0.15,
) -> Panel:
    """Widgets for eviction, cache size, amplification, round trip and bandwidth; each change replays the workload.

    Parameters
    ----------
    workload
        What is replayed.
    settings
        Where the controls begin; what they do not touch stays.
    image, reads
        What the workload was made from: they add the names of directories and of programs.
    delay_s
        How long the controls must rest before the replay, in seconds. Until then what is shown is pale.
    """
    return Panel(workload, settings, image, reads, delay_s)


def _slider(name: str, options: tuple[float, ...], value: float, text: Callable[[Any], str]) -> widgets.SelectionSlider:
    """A slider over `options` and the present value, each with its text."""
    known = sorted({*options, value})
    return widgets.SelectionSlider(options=[(text(x), x) for x in known], value=value, description=name)
