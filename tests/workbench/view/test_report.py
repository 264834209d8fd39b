"""The report."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.view import Run, report, write_report

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Checker(HTMLParser):
    """Collects ids and links, and sees that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag and what it points to."""
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]

    def handle_endtag(self, tag: str) -> None:
        """It closes what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note headings."""
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


@pytest.fixture
def full(hand_made: Any, small: Run, frame: pd.DataFrame) -> str:
    """A report with everything in it."""
    predicted, measured = small._replace(name="predicted"), small._replace(name="measured")
    return report(hand_made, small, link_bandwidth=25e6, grid=frame, predicted=predicted, measured=measured)


def test_the_report_needs_nothing_else(full: str) -> None:
    """Nothing in it points anywhere but into itself, and no script runs."""
    page = Checker()
    page.feed(full)
    assert page.open == []
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert not re.search(r"@import|<script|url\((?!#)", full)


def test_ids_are_unique_and_found(full: str) -> None:
    """Pictures share one page: no id twice, and each that is used is there."""
    page = Checker()
    page.feed(full)
    assert len(page.ids) == len(set(page.ids))
    used = {link[1:] for link in page.links if link.startswith("#")} | set(re.findall(r"url\(#([^)]*)\)", full))
    assert used <= set(page.ids)


def test_the_report_follows_light_and_dark_and_width(full: str) -> None:
    """Colours are variables with a dark set; each picture is there for a desk and for a phone."""
    assert "@media (prefers-color-scheme: dark)" in full
    assert full.count("class='wide'") == full.count("class='narrow'") == 7
    assert "width=device-width" in full
    for used in set(re.findall(r"var\(--([a-z0-9-]+)\)", full)):
        assert full.count(f"--{used}:") == 2, used


def test_sections(full: str, hand_made: Any, small: Run) -> None:
    """Grid and prediction are shown when they are there, and only then."""
    page = Checker()
    page.feed(full)
    assert page.headings == [
        "First light", "What is in the image", "When each chunk came", "What the time went into",
        "What the link carried", "How long a read takes", "What it would cost otherwise", "Predicted beside measured",
    ]  # fmt: skip
    short = Checker()
    short.feed(report(hand_made, small, title="Just this"))
    assert short.headings == ["Just this", *page.headings[1:6]]


def test_text_is_escaped_and_the_metadata_shown(hand_made: Any, small: Run, tmp_path: Path) -> None:
    """Names of programs and configurations are text, never markup."""
    assert small.reads is not None
    events = small.events.replace_schema_metadata({"nydus.image": "ab", "nydus.config": '{"amplify_io": "<b>"}'})
    path = write_report(tmp_path / "report.html", hand_made, small._replace(events=events), title="a < b", lede="x & y")
    text = path.read_text()
    assert "<h1>a &lt; b</h1>" in text
    assert "x &amp; y" in text
    assert "&quot;amplify_io&quot;: &quot;&lt;b&gt;&quot;" in text


def test_the_same_run_gives_the_same_report(hand_made: Any, make: Callable[..., Run]) -> None:
    """No date, no random id: reports can be compared."""
    run = make(chunks=5, reads=12)
    assert report(hand_made, run) == report(hand_made, run)
