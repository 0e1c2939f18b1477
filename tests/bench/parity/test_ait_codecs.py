"""Parity of the codecs with AiT's released classes, and that a difference is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.parity.ait_codecs import check_codecs
from bench.parity.golden_file import GoldenFile
from bench.parity.parity_table import ParityTable
from tests.tasks.task_examples import shared

Arrays = dict[str, NDArray[Any]]
FAMILIES = {"codec masks", "codec depth", "codec training", "dense losses"}
OWN = ("vqm/", "vqd/", "vqtrain/", "loss/")


def compared(path: Path) -> tuple[ParityTable, GoldenFile]:
    golden = GoldenFile(path)
    table = ParityTable(golden, relative=True)
    check_codecs(table)
    return table, golden


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[Arrays], None]], ParityTable]:
    """What is found after a change of the file."""

    def run(change: Callable[[Arrays], None]) -> ParityTable:
        with np.load(shared("golden/ait.npz")) as archive:
            arrays = {name: archive[name] for name in archive.files if name.startswith((*OWN, "tr/cfg"))}
        change(arrays)
        np.savez(tmp_path / "changed.npz", **arrays)  # type: ignore[arg-type]
        return compared(tmp_path / "changed.npz")[0]

    return run


def test_the_codecs_agree_with_the_released_classes() -> None:
    table, golden = compared(shared("golden/ait.npz"))
    problems = {name: row.problems for name, row in table.families.items() if row.problems}
    assert not problems
    assert set(table.families) == FAMILIES
    assert all(row.compared and not row.absent for row in table.families.values())
    assert not [name for name in golden.unread if name.startswith(OWN)], "every array is recomputed"


def test_what_is_off_is_found(changed: Callable[[Callable[[Arrays], None]], ParityTable]) -> None:
    def disturb(arrays: Arrays) -> None:
        arrays["vqm/indices"] = arrays["vqm/indices"] ^ 1
        arrays["vqd/w/decoder.0.weight"] = arrays["vqd/w/decoder.0.weight"] * 1.01
        arrays["vqtrain/step2/_embedding"] = arrays["vqtrain/step2/_embedding"] * 1.001
        arrays["loss/dice/value"] = arrays["loss/dice/value"] * 1.001

    found = changed(disturb).families
    assert {name for name, row in found.items() if row.problems} == FAMILIES
    assert found["codec masks"].problems == ["vqm/indices: 12 of 12 differ"]
    assert all("decode" in problem for problem in found["codec depth"].problems)


def test_families_that_a_file_lacks_are_told(changed: Callable[[Callable[[Arrays], None]], ParityTable]) -> None:
    def shorten(arrays: Arrays) -> None:
        for name in [name for name in arrays if name.startswith(("vqd/", "vqtrain/", "loss/"))]:
            del arrays[name]

    verdicts = {name: row.verdict for name, row in changed(shorten).families.items()}
    assert verdicts == dict.fromkeys(FAMILIES, "not in file") | {"codec masks": "ok"}
