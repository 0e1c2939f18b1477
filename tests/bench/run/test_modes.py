"""Modes: equal predictions in records of their own; one that fails is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import UserError
from bench.inference import execution_modes as modes
from bench.run.decoder_run import DecoderRun
from results.record import Sample
from results.store import PARTIAL, read_samples
from tests.bench.fake_accelerators import Compiled, Graphed
from tests.bench.run.measuring import Measure


def test_a_mode_that_fails_is_left_out_and_the_others_are_measured(
    measure: Measure, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Graphed):
        def encode(self, features: Any) -> Any:
            raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    monkeypatch.setattr(modes, "Graphed", Failing)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    assert list(measure("run", "--mode", "eager,graphed", "--limit", "1", decoder="mad")) == ["mad"]
    assert said == ["left out: mad.graphed: RuntimeError: operation not permitted when stream is capturing"]
    assert not (tmp_path / "run/mad.graphed").exists()
    with pytest.raises(UserError, match="nothing is left"):
        measure("none", "--mode", "graphed", "--limit", "1", decoder="mad")


def test_a_mode_that_fails_in_the_middle_is_left_out_too(
    measure: Measure, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the third image, as where a new shape cannot be compiled; its lines stay for another attempt."""
    step, turns = DecoderRun.step, {"mad": 0, "mad.graphed": 0}

    def failing(run: DecoderRun) -> None:
        turns[run.name] += 1
        if run.mode == "graphed" and turns[run.name] == 3:
            raise RuntimeError("an illegal memory access was encountered")
        step(run)

    monkeypatch.setattr(modes, "Graphed", Graphed)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    with monkeypatch.context() as patch:
        patch.setattr(DecoderRun, "step", failing)
        records = measure("run", "--mode", "eager,graphed", "--limit", "5", decoder="mad")
    assert list(records) == ["mad"] and records["mad"].images == 5 and records["mad"].interleaved == ["mad"]
    assert turns == {"mad": 5, "mad.graphed": 3}
    assert said == ["left out: mad.graphed: RuntimeError: an illegal memory access was encountered"]
    assert len((tmp_path / "run/mad.graphed" / PARTIAL).read_bytes().splitlines()) == 1 + 2
    again = measure("run", "--mode", "graphed", "--limit", "5", decoder="mad")["mad.graphed"]
    assert again.images == 5 and again.checksum == records["mad"].checksum


@pytest.mark.parametrize(("mode", "fake"), [("graphed", Graphed), ("compiled", Compiled)])
def test_modes_give_the_same_predictions_in_records_of_their_own(
    measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, fake: type
) -> None:
    monkeypatch.setattr(modes, fake.__name__, fake)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    records = measure("run", "--mode", f"eager,{mode}", "--limit", "4", decoder="mad")
    plain, other = records["mad"], records[f"mad.{mode}"]
    assert plain.mode.name == "eager" and plain.mode.prepared == 0
    assert other.mode.name == mode and other.mode.prepared > 0 and other.mode.prepare_ms > 0
    assert other.mode.checked_images == 2 and other.mode.checked_tokens > 0 and other.mode.different_tokens == 0
    assert (other.checksum, other.metrics) == (plain.checksum, plain.metrics)
    lines = [[line.tokens for line in read_samples(tmp_path / "run" / name)] for name in records]
    assert lines[0] == lines[1]
    assert not any("differ" in warning for warning in other.warnings)
    assert (other.mode.compared_images, other.mode.different_images) == (4, 0)
    assert plain.mode.compared_images == 0


def test_a_mode_that_flips_tokens_is_told(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Graphed):
        def logits(self, hidden: torch.Tensor, ids: torch.Tensor | slice) -> torch.Tensor:
            return -super().logits(hidden, ids)

    monkeypatch.setattr(modes, "Graphed", Wrong)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    record = measure("run", "--mode", "graphed", "--limit", "2", decoder="mad")["mad.graphed"]
    assert record.mode.different_tokens > 0
    assert any(
        f"{record.mode.different_tokens} of {record.mode.checked_tokens} tokens differ" in w for w in record.warnings
    )


def test_a_token_that_differs_anywhere_in_the_run_is_told(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third image is not among those that are checked before."""
    kept = DecoderRun._sample

    def flipped(run: DecoderRun, read: Any, *more: Any) -> Sample:
        line = kept(run, read, *more)
        if run.mode == "graphed" and run.images == 2:
            line.tokens["depth"] = "0" * 16
        return line

    monkeypatch.setattr(DecoderRun, "_sample", flipped)
    monkeypatch.setattr(modes, "Graphed", Graphed)
    monkeypatch.setattr(modes, "unavailable_reason", lambda mode, device, network: None)
    record = measure("run", "--mode", "eager,graphed", "--limit", "4", decoder="mad")["mad.graphed"]
    assert (record.mode.compared_images, record.mode.different_images) == (4, 1)
    assert "graphed: 1 of 4 images have other tokens than in eager mode" in record.warnings


def test_modes_that_cannot_be_are_left_out_and_told(measure: Measure, said: list[str]) -> None:
    records = measure("run", "--mode", "eager,graphed", "--limit", "1", decoder="mad")
    assert list(records) == ["mad"]
    assert said == ["left out: mad, graphed: CUDA graphs need a GPU"]
    with pytest.raises(UserError, match="no decoder of this run"):
        measure("none", "--mode", "graphed", decoder="mad")
