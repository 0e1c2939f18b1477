"""Speakers who see everything: choosing helps, and nobody reaches 100 against references that chose anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.config.studies import MeasureOptions
from bench.errors import UserError
from bench.measurements.caption_ceilings import ANY, CHOSEN, GREEDY, measure_captions


def test_a_speaker_who_chooses_is_closer_to_the_references_and_the_file_says_what_the_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java there is no METEOR, which the table does not show
    options = MeasureOptions(out=tmp_path, images=4, draws=4, imagined=30)
    text = measure_captions(options)
    found = json.loads((tmp_path / "speakers.json").read_text())["speakers"]
    any_one, greedy, chosen = (found[who]["BLEU-4"] for who in (ANY, GREEDY, CHOSEN))
    assert any_one < greedy < 1 and any_one < chosen < 1
    assert f"{chosen * 100:.1f}" in text and text == (tmp_path / "speakers.md").read_text()


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(UserError, match="--draws 0: give 1 or more"):
        MeasureOptions(draws=0)
