"""Numbers printed in papers, kept as data with their source: systems, ablation tables and claims.

Only numbers with a primary source are stored; what a paper prints and nobody here has read is absent, not guessed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parent / "published"


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


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One claim of a paper, and how it is tested here.

    Args:
        id: short name.
        paper: MAD or AiT.
        where: table or section.
        statement: the claim in a sentence.
        printed: the paper's numbers in words; says so where they are not known here.
        parts: what must hold; see ``reports.tables.claims``.
        note: what the test leaves out.
    """

    id: str
    paper: str
    where: str
    statement: str
    printed: str
    parts: list[dict[str, Any]]
    note: str = ""


def claims(folder: Path = FOLDER) -> list[Claim]:
    """Return the claims of the two papers, in their papers' order."""
    return msgspec.json.decode((folder.parent / "claims.json").read_bytes(), type=list[Claim])


class Ablation(msgspec.Struct, frozen=True, kw_only=True):
    """A table of a paper that an ablation repeats.

    Args:
        id: short name, also the name of the ablation.
        paper: MAD or AiT.
        where: table, as far as known.
        title: what varies.
        headings: ``task.metric`` or ``time.total`` of the columns.
        rows: row label to printed values by heading; empty where the printed number is not known here.
        note: what is known of the paper's numbers.
        runs: whether its rows are strategies, so that ordinary runs fill it where no ablation of this name was made.
    """

    id: str
    paper: str
    where: str
    title: str
    headings: list[str]
    rows: dict[str, dict[str, float]]
    note: str = ""
    runs: bool = False


def ablations(folder: Path = FOLDER) -> list[Ablation]:
    """Return the papers' ablation tables, MAD's first."""
    return msgspec.json.decode((folder / "ablations.json").read_bytes(), type=list[Ablation])
