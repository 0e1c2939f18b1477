"""Planted faults do what they say and nothing else, and the command that plants them continues and counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import registry
from bench.cli.main import main
from bench.config.analysis import GateOptions, PlantedOptions
from bench.errors import UserError
from bench.gate import fault_injection as planted
from bench.gate import gate as gating
from decoders.base import Request
from results.gate_report import GateReport, Line, Verdict
from tasks.formats.sequence import Decoded, SequenceFormat, Slot, one_hot
from tasks.formats.vocabulary import IdRange

SMALL, LARGE = IdRange(10, 14, "small"), IdRange(20, 60, "large")
FORM = SequenceFormat(task="toy", prompt_length=1, slots=(Slot((SMALL,)), Slot((LARGE,))), groups=50)


def decode(network: Any, memory: Any, request: Request, generators: Sequence[torch.Generator]) -> Decoded:
    tokens = torch.tensor([12, 33]).repeat(2, 3, 50)  # (B, N, L)
    time.sleep(0.002)
    return Decoded(tokens, one_hot(FORM, tokens) * 0.9, evaluations=1, positions=tokens.numel())


def arguments() -> tuple[Any, ...]:
    request = Request(format=FORM, prompts=torch.zeros(2, 3, 1), valid=torch.ones(2, 3, dtype=torch.bool))
    return None, None, request, [torch.Generator().manual_seed(seed) for seed in (1, 2)]


def test_a_share_of_tokens_is_replaced_by_legal_ones() -> None:
    plain, garbled = decode(*arguments()), planted.flipped(decode, share=0.1)(*arguments())
    changed = garbled.tokens != plain.tokens
    assert 0.05 < changed.float().mean() < 0.15
    legal = FORM.legal.expand(2, 3, -1, -1).gather(3, FORM.columns_of(garbled.tokens)[..., None])
    assert bool(legal.all())
    assert torch.equal(garbled.probabilities.sum(3), plain.probabilities.sum(3))
    best = garbled.probabilities.argmax(3)
    assert torch.equal(FORM.ids[best], garbled.tokens), "the probability goes with the token"
    again = planted.flipped(decode, share=0.1)(*arguments())
    assert torch.equal(again.tokens, garbled.tokens)
    assert torch.equal(planted.flipped(decode, share=0.0)(*arguments()).tokens, plain.tokens)


def test_a_tenth_more_time_and_the_same_tokens() -> None:
    start = time.perf_counter()
    slow = planted.slowed(decode, share=4.0)(*arguments())
    assert time.perf_counter() - start > 0.01
    assert torch.equal(slow.tokens, decode(*arguments()).tokens)


@pytest.mark.parametrize("name", ["mad", "mad-one-pass"])
def test_a_fault_is_taken_back(name: str) -> None:
    cls = registry.load(registry.DECODERS, name)
    before, own = cls.decode, "decode" in vars(cls)
    with pytest.raises(RuntimeError), planted.fault(name, planted.slowed):
        assert cls.decode is not before
        raise RuntimeError
    assert cls.decode is before
    assert ("decode" in vars(cls)) == own
    with planted.fault(name, None):
        assert cls.decode is before


def injection(slowed: Verdict, flipped: Verdict, *same: Verdict) -> planted.FaultInjection:
    named = {"slowed": slowed, "flipped": flipped} | {f"same-{n:02d}": verdict for n, verdict in enumerate(same)}
    trials = [planted.Trial(name=name, verdict=verdict, slowdown=0.1, reasons=["x"]) for name, verdict in named.items()]
    return planted.FaultInjection(settings={}, trials=trials)


def test_what_the_trials_prove() -> None:
    assert injection("fail", "fail", "pass", "cannot tell").verdict == "pass"
    assert injection("fail", "fail", "pass", "fail").verdict == "pass", "one in twenty may be a false alarm"
    assert injection("fail", "fail", "fail", "fail").verdict == "fail"
    assert injection("pass", "fail", "pass").verdict == "fail"
    assert injection("cannot tell", "fail", "pass").verdict == "cannot tell"
    assert "| slowed | fail | +10.0 % | x |" in planted.markdown(injection("fail", "fail"))
    assert "1 false alarms in 2 runs" in planted.markdown(injection("fail", "fail", "fail", "pass"))


class Gates:
    """Stands for the gate: answers by what is planted in the decoder, and stops when told to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.plain = registry.load(registry.DECODERS, "mad").decode
        self.stop_at: str | None = None

    def gate(self, options: GateOptions) -> gating.GateResult:
        assert options.out is not None
        self.seen.append(options.out.name)
        if options.out.name == self.stop_at:
            raise KeyboardInterrupt
        faulty = registry.load(registry.DECODERS, "mad").decode is not self.plain
        line = Line(
            decoder="mad",
            name="total time / parallel",
            kind="speed",
            verdict="fail" if faulty else "pass",
            reason="slower",
            loss=0.1 if faulty else 0.0,
        )
        report = GateReport(preset="embedded", commit=None, machine="", lines=[line], remarks=[])
        return gating.GateResult(report, {}, [], Path(), options.out)


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Gates:
    made = Gates()
    monkeypatch.setattr(gating, "gate", made.gate)
    return made


def test_an_interrupted_command_continues(gates: Gates, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["planted-faults", "--repeats", "3", "--out", str(tmp_path)]
    gates.stop_at = "same-02"
    assert main(words) == 130
    assert gates.seen == ["baseline", "slowed", "flipped", "same-01", "same-02"]
    gates.seen, gates.stop_at = [], None
    assert main(words) == 0
    assert gates.seen == ["same-02", "same-03"]
    assert "0 false alarms in 3 runs" in capsys.readouterr().out
    with pytest.raises(UserError, match="other settings"):
        planted.planted_faults(PlantedOptions(repeats=3, images=20, out=tmp_path))
    assert main([*words, "--images", "20", "--fresh"]) == 0
    assert gates.seen[2] == "baseline"


def test_the_gate_itself_catches_flipped_tokens_and_nothing_else(scenes_folder: Path, tmp_path: Path) -> None:
    """The shipped weights on a dozen scenes, judged by what they predict, which is the same every time.

    A tenth of the tokens is flipped: what a hundredth does, a dozen scenes cannot tell from chance.
    """

    settings = tmp_path / "settings.yaml"
    settings.write_text("accuracy_only: true\n")  # no warm-up, no peak rates

    def judged(name: str) -> GateReport:
        first = name == "before"
        result = gating.gate(
            GateOptions(
                decoder="mad",
                tasks="detection,depth",
                coco=scenes_folder,
                nyu=scenes_folder,
                settings=settings,
                kind="all" if first else "accuracy",
                baselines=tmp_path / "baselines",
                update_baseline=first,
                history=None,
                out=tmp_path / name,
            )
        )
        if first:
            gating.update(result, force=True)
        return result.report

    assert judged("before").verdict == "cannot tell", "there is no baseline yet"
    same = judged("same")
    assert same.verdict == "pass"
    assert {line.reason for line in same.lines} == {"the same predictions"}
    with planted.fault("mad", partial(planted.flipped, share=0.1)):
        worse = judged("flipped")
    assert worse.verdict == "fail"
    answers = {line.name: line for line in worse.lines}
    assert answers["depth rmse"].verdict == "fail"
    assert answers["detection AP"].loss is not None and answers["detection AP"].loss > 0.05


def test_what_cannot_be_planted() -> None:
    with pytest.raises(UserError, match="name another"):
        planted.planted_faults(PlantedOptions(decoder="parallel"))
    with pytest.raises(UserError, match="at least 12 images"):
        PlantedOptions(images=3)
