"""The terminal table: values as people read them, and nothing side by side that must not be compared."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from reports.metrics import metric
from reports.terminal.record_tables import cell, print_records, records_table
from results.record import Record
from tests.results.test_store import record


def scored(name: str, tokenizer: str, **changes: object) -> Record:
    metrics = {"detection": {"AP": 0.5123}, "captioning": {"BLEU-4": 0.25, "METEOR": None}, "depth": {"rmse": 0.2}}
    notes = {"captioning": {"tokenizer": tokenizer, "METEOR": "needs Java", "SPICE": "files absent"}}
    fields = {"decoder": name, "metrics": metrics, "notes": notes, "off": {"keypoints": "no persons"}} | changes
    return msgspec.structs.replace(record(3), **fields)


def printed(*records: Record, width: int = 80) -> str:
    stream = io.StringIO()
    print_records(records, Console(file=stream, width=width))
    return stream.getvalue()


def test_cells() -> None:
    one = scored("oracle", "ptb")
    assert cell(one, metric("detection", "AP")) == "51.2"
    assert cell(one, metric("depth", "rmse")) == "0.200"
    assert cell(one, metric("captioning", "METEOR")) == "–"
    assert cell(one, metric("keypoints", "AP")) == "off"


def test_a_table_fits_80_columns_and_says_what_a_reader_must_know() -> None:
    text = printed(scored("autoregressive", "ptb (Java 17)"))
    assert "autoregressive" in text and "ms/image" in text and "…" not in text
    assert "off: keypoints: no persons" in text
    assert "captioning: METEOR: needs Java" in text
    assert "SPICE" not in text, "an optional metric that was not asked for is no news"


def test_caption_tokenizers_never_share_a_table() -> None:
    mixed = scored("a", "ptb (Java 17)"), scored("b", "python"), scored("c", "ptb (Java 21)")
    with pytest.raises(ValueError, match="tokenizers"):
        records_table(mixed)
    assert printed(*mixed).count("box AP") == 2, "two tables; the version of Java does not matter"
