"""The page: numbers equal the records', nothing is loaded from elsewhere, and a real browser is content with it."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reports.metrics import metric
from reports.page.gallery import CLASSES, _place_name, legend, marked, rows, scales
from reports.page.sections import write_report
from tests.reports.report_data import picture, report_data

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


class ParsedPage(HTMLParser):
    """Cells with their source, ids, links and images of a page, and whether its tags close."""

    VOID = ("meta", "link", "img", "br", "path", "use")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[dict[str, str]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.drawings: list[dict[str, str | None]] = []
        self._open: list[str] = []
        self._cell: dict[str, str] | None = None
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag not in self.VOID:
            self._open.append(tag)
        self.ids += [attributes["id"]] if attributes.get("id") else []
        self.links += [value for name in ("href", "src", "xlink:href") if (value := attributes.get(name))]
        if attributes.get("class") == "interval":
            self._finish()
        if tag == "td" and attributes.get("data-source"):
            self._cell = {
                "source": str(attributes["data-source"]),
                "value": str(attributes.get("data-value")),
                "text": "",
            }
        if tag == "img":
            self.images.append(attributes)
        if tag == "svg":
            self.drawings.append(attributes)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.VOID:
            self.handle_starttag(tag, attrs)
        else:
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell["text"] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self._open.pop() == tag
        if tag == "td":
            self._finish()

    def _finish(self) -> None:
        """End a cell, or its value where an interval follows."""
        if self._cell is not None:
            self.cells.append(self._cell)
            self._cell = None


def at(record: Any, path: str) -> Any:
    """A value by its path; names of phases and metrics hold dots themselves."""
    while path:
        name = next(name for name in record if path == name or path.startswith(f"{name}."))
        record, path = record[name], path[len(name) + 1 :]
    return record


def test_every_number_is_the_record_s(written: Path) -> None:
    report = report_data()
    records = {run.label: run.record for run in report.runs}
    page = ParsedPage(written.read_text())
    seen = set()
    for cell in page.cells:
        label, _, path = cell["source"].partition(": ")
        if label in records:
            value = at(records[label], path)
            seen.add((label, path))
            if value is None:
                assert (cell["text"], cell["value"]) == ("–", "None")
                continue
            assert float(cell["value"]) == pytest.approx(value, abs=0)
            shown = metric(*path.split(".")[1:]).text(value) if path.startswith("metrics.") else None
            if shown is not None:
                assert cell["text"] == shown
            else:
                digits = len(cell["text"].partition(".")[2])
                assert cell["text"] == f"{value:,.{digits}f}".replace(",", "\u202f")
    for label, record in records.items():
        for task, values in record["metrics"].items():
            assert {(label, f"metrics.{task}.{name}") for name in values} <= seen, "every metric is on the page"
    assert ("mad", "latency.total.mean_ms") in seen and ("mad", "cost.depth.positions") in seen


def test_nothing_is_loaded_from_elsewhere_and_no_link_is_broken(written: Path) -> None:
    text = written.read_text()
    page = ParsedPage(text)
    for link in page.links:
        assert link.startswith(("#", "data:")), link
        if link.startswith("#"):
            assert link[1:] in page.ids, link
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(page.ids) == len(set(page.ids)), "an id twice"


def test_pictures_say_what_they_show(written: Path) -> None:
    page = ParsedPage(written.read_text())
    assert len(page.drawings) >= 5
    assert all(len(str(drawing.get("aria-label"))) > 60 for drawing in page.drawings)
    assert page.images and all(len(str(image.get("alt"))) > 10 for image in page.images)


def test_figures_and_tables_lie_beside_the_page(written: Path) -> None:
    figures = {path.stem for path in (written.parent / "figures").iterdir()}
    assert {"frontier", "phases", "curves", "budget-captioning", "objects", "positions"} <= figures
    for name in figures:
        assert (written.parent / f"figures/{name}.svg").read_text().lstrip().startswith("<?xml")
        assert (written.parent / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        with Image.open(written.parent / f"figures/{name}.png") as image:
            assert image.width >= 900
    for path in (written.parent / "tables").glob("*.md"):
        assert path.with_suffix(".tex").exists() and path.with_suffix(".csv").exists()
    assert written.stat().st_size < 8e6


def test_the_same_report_gives_the_same_page(written: Path, tmp_path: Path) -> None:
    again = write_report(report_data(), tmp_path)
    assert again.read_text() == written.read_text()


def test_the_gallery_marks_captions_and_draws_every_row() -> None:
    assert marked("a <red> cube", ["A red ring"]) == "a &lt;red&gt; <u>cube</u>"
    assert marked("a cube", []) == "a cube", "without references nothing is strange"
    found = rows(picture())
    assert [row["label"] for row in found] == ["truth", "mad"]
    sizes = set()
    for source, _ in [panel for row in found for panel in row["panels"]]:
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            sizes.add(image.size)
    assert len(sizes) == 1, "panels are columns under columns"
    assert "1 object: ring; 1 mask; 1 pose; depth map; caption: a <red> cube" in found[1]["panels"][0][1]
    assert [name for name, _ in legend(picture())] == ["ring"]
    (depth, _, farthest), (error, _, worst) = scales(picture())
    assert (depth, farthest, error, worst) == ("depth", "9.5 m", "depth error", "0.50 m")


def test_names_stand_within_the_image_and_beside_each_other() -> None:
    """Two boxes at one corner, and one at the far edge."""
    taken: list[tuple[float, float, float, float]] = []
    for box in ((190.0, 2.0, 199.0, 20.0), (190.0, 2.0, 199.0, 30.0), (0.0, 140.0, 20.0, 150.0)):
        taken.append(_place_name(box, 40.0, (200, 150), taken))
    for left, top, right, bottom in taken:
        assert left >= 0 and top >= 0 and right <= 200 and bottom <= 150
    (a, b, _) = taken
    assert a[3] <= b[1] or b[3] <= a[1] or a[2] <= b[0] or b[2] <= a[0]
    assert len(set(CLASSES)) == len(CLASSES) >= 8


def browse(page: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """The page's DOM after its script ran, and the lines of the browser's console."""
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--virtual-time-budget=4000",
        *options,
    )
    command = [str(BROWSER), *options, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=1200)
    if "</html>" not in done.stdout:
        pytest.skip(f"the browser does not start here: {done.stderr[-300:]}")
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_browser_is_content(written: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    dom, console = browse(written, tmp_path / "profile", f"--log-net-log={log}")
    assert not console
    assert 'class="skip"' in dom and '<button type="button">box AP</button>' in dom, "the script ran"
    asked = {url for url in re.findall(r'"url":"([^"]+)"', log.read_text()) if not url.startswith(("file:", "data:"))}
    ours = {url for url in asked if not re.search(r"google|gvt1|chrome|mtalk", url)}
    assert not ours, "the page asked the network"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_the_browser_test_finds_faults(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><html><body><script>console.error('planted')</script></body></html>")
    _, console = browse(page, tmp_path / "profile")
    assert any("planted" in line for line in console)


def test_the_page_is_whole_without_its_script(written: Path) -> None:
    text = written.read_text()
    assert "<script src" not in text
    before = text.partition("<script>")[0]
    assert before.count("<table") == before.count("</table>") > 5
