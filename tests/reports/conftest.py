"""The sample report, drawn and written once; other tests draw their figures as SVG alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reports.figures import drawing
from reports.page.html import Page, write_page
from reports.page.sections import make_page
from tests.reports.report_data import report_data


@pytest.fixture(scope="session")
def sample_page() -> Page:
    """The page of ``report_data()`` with figures in all formats."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "FORMATS", ("svg", "pdf", "png"))
        return make_page(report_data())


@pytest.fixture(scope="session")
def written(sample_page: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of that page, written with its figures and tables."""
    return write_page(sample_page, tmp_path_factory.mktemp("report"))


@pytest.fixture(autouse=True)
def svg_only() -> Iterator[None]:
    """Skip PDF and PNG, which take most of the time of a figure and no test but those of ``written`` reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "FORMATS", ("svg",))
        yield
