"""Numbers printed in papers, kept as data with their source: systems and the tables of MAD and AiT.

Only numbers with a primary source are stored; what a paper prints and nobody here has read is absent, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
import yaml

FOLDER = Path(__file__).parent / "published"
CITATIONS = {
    "MAD": "Qiu et al., Masked AutoDecoder is Effective Multi-Task Vision Generalist, CVPR 2024 (arXiv 2403.07692)",
    "AiT": "Ning et al., All in Tokens, ICCV 2023 (arXiv 2301.02229)",
}


class System(msgspec.Struct, frozen=True, kw_only=True):
    """One published system.

    Args:
        name: as its paper calls it.
        short: the same for figures, where the name is long.
        year: of publication.
        decoder: family of decoding: autoregressive, parallel, masked, ...
        source: paper or repository, and table.
        backbone: image encoder; empty where it is not known.
        parameters: of the whole model; None where it is not known.
        data: what it was trained and evaluated on, as far as known.
        hardware: of ``seconds``; empty without them.
        seconds: per image, all tasks.
        metrics: ``task.metric`` to value, fractions and meters as in records.
        caveat: what makes it hard to compare.
    """

    name: str
    short: str = ""
    year: int
    decoder: str
    source: str
    backbone: str = ""
    parameters: float | None = None
    data: str = ""
    hardware: str = ""
    seconds: float | None = None
    metrics: dict[str, float]
    caveat: str = ""


def systems(folder: Path = FOLDER) -> list[System]:
    """Return all published systems, oldest first."""
    unsorted = msgspec.json.decode((folder / "systems.json").read_bytes(), type=list[System])
    return sorted(unsorted, key=lambda system: (system.year, system.name))


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a study fills a table.

    Args:
        arms: arm to row, where their names differ.
        compared: arm to row whose numbers its contrasts are held against, though it does not repeat the row.
        prefix: of the columns that the study fills, before ``task.metric``.
    """

    arms: dict[str, str] = {}
    compared: dict[str, str] = {}
    prefix: str = ""


class PaperTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a paper, with all its rows.

    Args:
        id: paper and number, ``mad-2``.
        title: what varies.
        columns: ``task.metric`` or ``time.total``, after ``reconstruction.`` where a codec is scored alone; or words.
        rows: label to printed cells, as fractions, meters, milliseconds or text; None where nothing is printed.
        note: what the rows stand for, or where the numbers come from.
        links: study to how it fills the table; ``runs`` for the strategies of ordinary runs.
    """

    id: str
    title: str
    columns: list[str]
    rows: dict[str, list[float | str | None]]
    note: str = ""
    links: dict[str, Link] = {}

    @property
    def paper(self) -> str:
        """Short name of the paper, as in ``CITATIONS``."""
        return {"mad": "MAD", "ait": "AiT"}[self.id.partition("-")[0]]

    @property
    def where(self) -> str:
        """The table's name in its paper."""
        return f"Table {self.id.partition('-')[2]}"

    def row_of(self, arm: str, study: str = "") -> str:
        """Return the row that an arm of a study repeats."""
        return self.links.get(study, Link()).arms.get(arm, arm)

    def printed(self, arm: str, key: str, study: str = "") -> float | None:
        """Return the printed number beside an arm of a study; None without one."""
        column, row = self.links.get(study, Link()).prefix + key, self.rows.get(self.row_of(arm, study))
        value = row[self.columns.index(column)] if row is not None and column in self.columns else None
        return None if isinstance(value, str) else value


@cache
def paper_tables(folder: Path = FOLDER) -> Mapping[str, PaperTable]:
    """Return id to table, MAD's tables first."""
    tables = msgspec.convert(yaml.safe_load((folder / "tables.yaml").read_text()), list[PaperTable])
    return {table.id: table for table in tables}
