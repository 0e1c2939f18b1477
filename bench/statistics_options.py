"""Options of the commands that judge runs: compare, gate, history, planted-faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError


@dataclass(frozen=True)
class CompareOptions:
    """Options of ``compare``.

    Args:
        runs: run folders, record files, or folders of run folders; two runs or more.
        coco: COCO folder that the runs were made on, if it is not the embedded scenes.
        nyu: NYUv2 folder that the runs were made on.
        nyu_list: NYUv2 list file, if it has an unusual name.
        tokenizer: SentencePiece model that the runs were given.
        every: compare all metrics and phases, not the headline metrics, the total and decoding alone.
        resamples: bootstrap resamples.
        seed: seed of resamples and permutations.
        out: folder for ``comparison.json`` and ``comparison.md``.
    """

    runs: list[Path]
    coco: Path | None = None
    nyu: Path | None = None
    nyu_list: Path | None = None
    tokenizer: Path | None = None
    every: bool = False
    resamples: int = 1000
    seed: int = 0
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise UserError(f"--resamples {self.resamples}: give at least 100, below that an interval means nothing")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: give 0 or more")
