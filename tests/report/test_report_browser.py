from __future__ import annotations

import html as markup
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from oldham.report import write_report

if TYPE_CHECKING:
    from pathlib import Path

    from oldham.report import ReportData

pytestmark = pytest.mark.slow

CHARTS = 4 + 4 + 2 + 3 * 5 + 2 * 5 + 1
"""Four planes; four forests of coefficients; the Pareto front; effects, outcomes and flips on five axes; pathways of
five arms on two; thinking."""

# The page under test stands in a frame of the width wanted (a window cannot be as narrow as a phone), untouched.
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body><iframe id="frame" style="width:{width}px;height:900px;border:0"
src="{url}"></iframe><pre id="probe"></pre><script>
document.getElementById("frame").addEventListener("load", function (event) {{
  const inner = event.target.contentWindow, page = inner.document;
  const started = Date.now();
  const look = function () {{
    if (page.querySelectorAll("[data-chart] svg").length < {charts} && Date.now() - started < 9000) {{
      return setTimeout(look, 250);
    }}
    const seen = function (selector) {{
      return Array.from(page.querySelectorAll(selector)).filter(function (e) {{ return !e.hidden; }}).length;
    }};
    const before = seen(".flip");
    page.querySelector('button[data-key="axis"][data-value="harm"]').click();
    page.querySelector('button[data-key="kind"][data-value="defence"]').click();
    const fills = new Set(Array.from(page.querySelectorAll('[data-chart^="outcomes"] path'), function (path) {{
      return path.getAttribute("fill");
    }}));
    document.getElementById("probe").textContent = JSON.stringify({{
      charts: Array.from(page.querySelectorAll("[data-chart]"), function (box) {{
        const svg = box.querySelector("svg");
        return [box.dataset.chart, svg ? svg.querySelectorAll("path, text").length : 0,
                svg ? svg.getBoundingClientRect().width / box.clientWidth : 0];
      }}),
      labels: Array.from(page.querySelectorAll("[data-chart]"), function (box) {{
        return (box.getAttribute("aria-label") ? box : box.querySelector("[aria-label]")).getAttribute("aria-label");
      }}),
      wide: page.documentElement.scrollWidth, room: inner.innerWidth,
      requests: inner.performance.getEntriesByType("resource").length,
      images: page.images.length,
      before: before, said: page.getElementById("flip-count").textContent,
      patterns: Array.from(fills).filter(function (fill) {{ return fill && fill.startsWith("url("); }}).length,
    }});
  }};
  look();
}});
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or pytest.skip("no Chromium on this machine")


@dataclass(frozen=True)
class Look:
    width: int
    seen: dict[str, Any]
    console: list[str]


@pytest.fixture(scope="module", params=[390, 1280], ids=["phone", "desktop"])
def look(
    request: pytest.FixtureRequest, hostile_run: Path, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Look:
    """What a probe saw when a report was opened from disk, and what the console said."""
    width, folder = request.param, tmp_path_factory.mktemp("browser")
    probe = folder / "probe.html"
    url = write_report(hostile_run).as_uri()
    probe.write_text(PROBE.format(width=width, url=url, charts=CHARTS), encoding="utf-8")
    flags = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"),
        *("--enable-logging=stderr", "--virtual-time-budget=10000", f"--user-data-dir={folder / 'profile'}"),
    ]
    command = [chromium, *flags, "--window-size=1400,1000", "--dump-dom", probe.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r'<pre id="probe">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found, f"the report never finished: {done.stderr[-2000:]}"
    return Look(width, json.loads(markup.unescape(found[1])), [x for x in done.stderr.splitlines() if "CONSOLE" in x])


def test_every_chart_is_drawn_as_wide_as_its_box(look: Look) -> None:
    assert len(look.seen["charts"]) == CHARTS
    assert [name for name, marks, _ in look.seen["charts"] if marks < 5] == []
    assert [name for name, _, share in look.seen["charts"] if not 0.9 < share <= 1.001] == []
    assert look.seen["patterns"] >= 2


def test_every_chart_says_what_it_shows(look: Look) -> None:
    assert look.seen["labels"][0].startswith("Coupling plane of reasoning and harm")
    assert all(len(label) > 30 for label in look.seen["labels"])


def test_the_page_never_scrolls_sideways(look: Look) -> None:
    assert look.seen["room"] == look.width
    assert look.seen["wide"] <= look.width


def test_nothing_is_fetched_and_nothing_goes_wrong(look: Look) -> None:
    assert look.console == []
    assert (look.seen["requests"], look.seen["images"]) == (0, 0)


def test_filters_leave_what_was_asked_for(look: Look, data: ReportData) -> None:
    wanted = [p for p in data.coupling.flip_pairs if (p.axis, p.kind) == ("harm", "defence")]
    assert 0 < len(wanted) < look.seen["before"]
    assert look.seen["said"] == f"{len(wanted)} shown"
