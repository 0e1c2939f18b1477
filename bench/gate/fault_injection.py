"""Planted faults: prove that the gate catches a slowed or garbled decoder and accepts an unchanged one.

One decoder runs on a few images: as the baseline, slowed by a tenth inside ``decode``, with a hundredth of its tokens
replaced, and twenty times unchanged (A/A). Finished trials are stored, so an interrupted command continues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from bench import registry
from bench.config.analysis import GateOptions, PlantedOptions
from bench.console import progress
from bench.errors import UserError
from bench.gate import gate as gating
from bench.gate.gated_run import REFERENCE
from bench.system.environment import describe_environment, fingerprint, source_hash
from decoders.base import Request
from reports.tables.table import pipe_table
from results.gate_report import GateReport, Verdict
from results.store import setting_differences, write_atomically
from tasks.formats.sequence import Decoded

Decode = Callable[..., Decoded]
SLOWER, FLIPPED, REPEATS, FALSE_ALARMS = 0.10, 0.01, 20, 1
RESULT = "planted.json"
SHOWN = ("decoder", "preset", "images", "tasks", "machine")  # settings printed under the table


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One gated run.

    Args:
        name: ``slowed``, ``flipped`` or ``same-01`` to ``same-20``.
        verdict: the gate's answer.
        slowdown: total time against ``parallel``, 0.1 for 10 % slower; null where it was not measured.
        reasons: lines that did not pass, each with the first reason.
    """

    name: str
    verdict: Verdict
    slowdown: float | None
    reasons: list[str]


class FaultInjection(msgspec.Struct, frozen=True, kw_only=True):
    """Trials of one command.

    Args:
        settings: options, code and machine, which must be equal for the command to be continued.
        trials: finished ones; ``arms`` in the file.
    """

    settings: dict[str, Any]
    trials: list[Trial] = msgspec.field(name="arms")

    @property
    def false_alarms(self) -> int:
        """Number of A/A trials that failed."""
        return sum(trial.verdict == "fail" for trial in self.trials if trial.name.startswith("same"))

    @property
    def verdict(self) -> Verdict:
        """``pass`` if both faults failed and at most one A/A trial did; ``fail`` if a fault passed or more did."""
        faults = {trial.name: trial.verdict for trial in self.trials if not trial.name.startswith("same")}
        if "pass" in faults.values() or self.false_alarms > FALSE_ALARMS:
            return "fail"
        return "pass" if set(faults.values()) == {"fail"} else "cannot tell"


def slowed(decode: Decode, share: float = SLOWER) -> Decode:
    """Return ``decode`` followed by a busy loop of ``share`` of its own time."""

    @wraps(decode)
    def slow(*arguments: Any) -> Decoded:
        start = time.perf_counter()
        decoded = decode(*arguments)
        until = start + (1 + share) * (time.perf_counter() - start)
        while time.perf_counter() < until:
            pass
        return decoded

    return slow


def flipped(decode: Decode, share: float = FLIPPED) -> Decode:
    """Return ``decode`` with ``share`` of its tokens replaced by other tokens that are legal at their position.

    A replaced token swaps probabilities with its replacement. Choices are drawn from the images' generators after
    decoding, so nothing else changes.
    """

    @wraps(decode)
    def flip(*arguments: Any) -> Decoded:
        decoded, request, generators = decode(*arguments), arguments[-2], arguments[-1]
        tokens, probabilities = decoded.tokens.clone(), decoded.probabilities.clone()
        for image, generator in enumerate(generators):
            _flip(request, tokens[image], probabilities[image], generator, share)
        return replace(decoded, tokens=tokens, probabilities=probabilities)

    return flip


def _flip(request: Request, tokens: Tensor, probabilities: Tensor, generator: torch.Generator, share: float) -> None:
    """Replace a share of one image's tokens (N, L), and swap their columns of probabilities (N, L, V), in place."""
    form = request.format
    rows, positions = (torch.rand(tokens.shape, generator=generator) < share).nonzero(as_tuple=True)
    for row, position in zip(rows.tolist(), positions.tolist(), strict=True):
        legal = form.legal[position].nonzero()[:, 0]
        before = int(form.columns_of(tokens[row, position].cpu()))
        others = legal[legal != before]
        if len(others):
            now = int(others[int(torch.randint(len(others), (), generator=generator))])
            tokens[row, position] = form.ids[now]
            probabilities[row, position, [before, now]] = probabilities[row, position, [now, before]]


@contextmanager
def fault(decoder: str, change: Callable[[Decode], Decode] | None) -> Iterator[None]:
    """Change a decoder's ``decode`` inside the context and restore it afterwards."""
    cls = registry.load(registry.DECODERS, decoder)
    if change is None:
        yield
        return
    inherited = "decode" not in vars(cls)
    original = cls.decode
    cls.decode = change(original)
    try:
        yield
    finally:
        if inherited:
            del cls.decode
        else:
            cls.decode = original


def planted_faults(options: PlantedOptions) -> FaultInjection:
    """Run all trials that an interrupted command did not finish.

    Raises:
        UserError: if the decoder cannot be used, or the folder holds trials with other settings.
    """
    if options.decoder == REFERENCE:
        raise UserError(f"--decoder {REFERENCE}: is what the others are compared with; name another")
    registry.check(registry.DECODERS, options.decoder)
    path = options.out / RESULT
    result = _read_unfinished(path, _settings(options), fresh=options.fresh)
    changes: dict[str, Callable[[Decode], Decode] | None] = {"slowed": slowed, "flipped": flipped}
    changes |= {f"same-{number:02d}": None for number in range(1, options.repeats + 1)}
    with progress("planted faults") as report:
        if not result.trials:
            baseline = replace(_gate(options, "baseline"), update_baseline=True)
            gating.update(gating.gate(baseline), force=True)  # the answers name a busy machine
            _write(path, result)
        for name, change in changes.items():
            report(len(result.trials), len(changes))
            if name not in {trial.name for trial in result.trials}:
                with fault(options.decoder, change):
                    answer = gating.gate(_gate(options, name)).report
                result = msgspec.structs.replace(result, trials=[*result.trials, _trial(name, answer)])
                _write(path, result)
    return result


def _gate(options: PlantedOptions, name: str) -> GateOptions:
    return GateOptions(
        decoder=options.decoder,
        preset=options.preset,
        limit=options.images,
        tasks=options.tasks,
        threads=options.threads,
        settings=options.settings,
        baselines=options.out / "baselines",
        thresholds=options.thresholds,
        history=None,
        out=options.out / name,
    )


def _trial(name: str, report: GateReport) -> Trial:
    slowdown = next((line.loss for line in report.lines if line.name == f"total time / {REFERENCE}"), None)
    not_passed = [line for line in report.lines if line.verdict != "pass"]
    reasons = [f"{line.name}: {line.verdict}, {line.reason.partition(';')[0]}" for line in not_passed]
    return Trial(name=name, verdict=report.verdict, slowdown=slowdown, reasons=reasons)


def _settings(options: PlantedOptions) -> dict[str, Any]:
    chosen = {name: getattr(options, name) for name in ("decoder", "preset", "images", "tasks", "threads")}
    text = None if options.settings is None else options.settings.read_text()
    here = describe_environment()
    machine = f"{here['gpu'] or here['cpu']} [{fingerprint(here)}]"
    return {**chosen, "settings": text, "code": source_hash(), "machine": machine}


def _read_unfinished(path: Path, settings: dict[str, Any], *, fresh: bool) -> FaultInjection:
    """Return the finished trials of an interrupted command; none if there was no such command."""
    if fresh or not path.exists():
        return FaultInjection(settings=settings, trials=[])
    try:
        result = msgspec.json.decode(path.read_bytes(), type=FaultInjection)
    except msgspec.MsgspecError as error:
        raise UserError(f"{path}: not readable ({error}); --fresh starts over") from None
    if setting_differences(result.settings, settings):
        raise UserError(f"{path}: was begun with other settings or code; --fresh starts over")
    return result


def _write(path: Path, result: FaultInjection) -> None:
    plain = {**msgspec.to_builtins(result), "verdict": result.verdict, "false_alarms": result.false_alarms}
    write_atomically(path, msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")
    write_atomically(path.with_suffix(".md"), markdown(result).encode())


def markdown(result: FaultInjection) -> str:
    """Return the table of the trials, the count of false alarms and the settings."""
    rows = []
    for trial in result.trials:
        slowdown = "–" if trial.slowdown is None else f"{100 * trial.slowdown:+.1f} %"
        rows.append((trial.name, trial.verdict, slowdown, "; ".join(trial.reasons) or "–"))
    table = pipe_table(("run", "gate", "slowdown", "lines that did not pass"), rows, left=(0, 1, 3))
    repeats = sum(trial.name.startswith("same") for trial in result.trials)
    lines = ["# Planted faults", "", table, "", f"{result.false_alarms} false alarms in {repeats} runs of the same."]
    shown = ", ".join(f"{name} {result.settings[name]}" for name in SHOWN if name in result.settings)
    return "\n".join([*lines, *([f"{shown[0].upper()}{shown[1:]}."] if shown else [])]) + "\n"
