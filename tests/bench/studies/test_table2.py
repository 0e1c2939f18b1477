"""MAD's Table 2 as it is written from records."""

from __future__ import annotations

import json

import msgspec
import pytest

from bench.cli.main import main
from bench.studies.table2 import markdown
from results.record import Record
from tests.paths import REPOSITORY

MEASURED = REPOSITORY / "results" / "table2.json"


def records() -> list[Record]:
    rows = json.loads(MEASURED.read_text())
    return [msgspec.convert({name: value for name, value in row.items() if name != "row"}, Record) for row in rows]


def test_the_committed_table_is_that_of_the_committed_records() -> None:
    assert MEASURED.with_suffix(".md").read_text() == markdown(records())


def test_doubtful_times_are_marked_once_with_their_rows() -> None:
    busy = "the machine was busy"
    every = [msgspec.structs.replace(record, warnings=[busy]) for record in records()]
    assert markdown(every).count(busy) == 1 and f"Times: {busy}." in markdown(every)
    one = [every[0], *(msgspec.structs.replace(record, warnings=[]) for record in every[1:])]
    assert f"Times of autoregressive: {busy}." in markdown(one)


def test_its_help_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """It chooses its decoders itself, so that naming one is refused."""
    with pytest.raises(SystemExit) as left:
        main(["table2", "--help"])
    help_text = capsys.readouterr().out
    assert left.value.code == 0
    assert "usage: decoder-bench table2" in help_text and "--decoder" not in help_text and "--limit" in help_text
    assert main(["table2", "--decoder", "mad"]) == 2
    assert "table2 chooses its decoders itself" in capsys.readouterr().err
