"""What a training refuses, and when: nothing is lost by it, and nobody waits for it."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
import torch

from bench.errors import UserError
from bench.train.network import train
from tests.bench import tiny_presets as tiny


def test_a_damaged_state_is_said_and_fresh_discards_it(root: Path, encoder: Path, tmp_path: Path) -> None:
    words = ["--encoder", str(encoder), "--train.decoder.steps", "2"]
    options = tiny.options(tmp_path / "run", root, "parallel", *words)
    train(options)
    whole = (tmp_path / "run" / "state.pt").read_bytes()
    for content in (whole[:3000], b"", b"hello"):
        (tmp_path / "run" / "state.pt").write_bytes(content)
        with pytest.raises(UserError, match=r"state\.pt: broken .*--fresh"):
            train(options)
    state = torch.load(io.BytesIO(whole), weights_only=True)
    state["optimiser"] = state.pop("optimizer")  # as an earlier version called it
    for damaged, missing in ((state, "optimizer"), ({"step": 1}, "average, .*signature"), ([1], "every key")):
        torch.save(damaged, tmp_path / "run" / "state.pt")
        with pytest.raises(UserError, match=f"not a training's state of this version: it lacks {missing}"):
            train(options)
    train(tiny.options(tmp_path / "run", root, "parallel", *words, "--fresh"))
    assert tiny.curve(tmp_path / "run")[-1]["step"] == 2


def test_fresh_discards_nothing_before_all_is_checked(root: Path, encoder: Path, tmp_path: Path) -> None:
    words = ["--encoder", str(encoder), "--train.decoder.steps", "2"]
    train(tiny.options(tmp_path / "run", root, "parallel", *words))
    before = (tmp_path / "run" / "state.pt").read_bytes()
    for message, wrong in {
        "nothing would be learned": ["--train.weights", "{detection: 0}", "--tasks", "detection"],
        "cannot be cut into 3 equal parts": ["--train.accumulate", "3"],
        "no such weights": ["--encoder", str(tmp_path / "none.safetensors")],
    }.items():
        with pytest.raises(UserError, match=message):
            train(tiny.options(tmp_path / "run", root, "parallel", *words, *wrong, "--fresh"))
    assert (tmp_path / "run" / "state.pt").read_bytes() == before


def test_mistakes_are_said_before_data_are_read(tmp_path: Path) -> None:
    def refused(message: str, *more: str, decoder: str = "parallel") -> None:
        with pytest.raises(UserError, match=message):
            train(tiny.options(tmp_path / "run", tmp_path / "no data", decoder, *more))

    refused("cannot be trained", decoder="oracle")
    refused("no such weights", "--start", str(tmp_path / "none.safetensors"))
    refused("which is missing", "--start_parts", "backbone")
    refused("encoder pretraining needs images of one size", "--image.transform", "shortest_side", decoder="encoder")


def test_what_cannot_be_trained_is_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be trained"):
        train(tiny.options(tmp_path / "run", root, "oracle"))
    with pytest.raises(UserError, match="runs on the weights of mad; train --decoder mad"):
        train(tiny.options(tmp_path / "run", root, "mad-one-pass"))
    chosen = tiny.options(tmp_path / "run", root, "mad")
    with pytest.raises(UserError, match="unknown decoder of this training 'ait'"):
        train(dataclasses.replace(chosen, strategy={"ait": {}}))
    with pytest.raises(UserError, match="unknown option of mad 'ratio'"):
        train(dataclasses.replace(chosen, strategy={"mad": {"ratio": 1}}))
    nothing = dataclasses.replace(chosen.train, weights={"depth": 0.0, "detection": 0.0})
    with pytest.raises(UserError, match="no task has a weight above 0"):
        train(dataclasses.replace(chosen, tasks="depth,detection", train=nothing))
    with pytest.raises(UserError, match="nox -s train -- --decoder encoder"):
        train(tiny.options(tmp_path / "run", root, "mad", "--encoder", str(tmp_path / "absent.safetensors")))
