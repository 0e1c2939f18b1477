"""Planted faults: does the gate catch a decoder that was slowed or garbled, and stay quiet about one that was not?

One decoder is run again and again on a few images: once as the baseline, once with a busy loop of a tenth of its own
time inside decode, once with a hundredth of its tokens replaced, and twenty times as it is (A/A). Each finished run is
kept, so an interrupted command continues.
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
from results.gate_report import GateReport, Verdict
from results.store import write_atomically
from tasks.formats.sequence import Decoded

Decode = Callable[..., Decoded]
SLOWER, FLIPPED, REPEATS, FALSE_ALARMS = 0.10, 0.01, 20, 1
RESULT = "planted.json"
TOLD = ("decoder", "preset", "images", "tasks", "machine")  # settings named under the table


class Arm(msgspec.Struct, frozen=True, kw_only=True):
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


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """All arms.

    Args:
        settings: what must be equal for the command to be continued: options, code and machine.
        arms: finished ones.
    """

    settings: dict[str, Any]
    arms: list[Arm]

    @property
    def false_alarms(self) -> int:
        """A/A runs that failed."""
        return sum(arm.verdict == "fail" for arm in self.arms if arm.name.startswith("same"))

    @property
    def verdict(self) -> Verdict:
        """``pass`` if both faults failed and at most one A/A run did; ``fail`` if a fault passed or more did."""
        faults = {arm.name: arm.verdict for arm in self.arms if not arm.name.startswith("same")}
        if "pass" in faults.values() or self.false_alarms > FALSE_ALARMS:
            return "fail"
        return "pass" if set(faults.values()) == {"fail"} else "cannot tell"


def slowed(decode: Decode, share: float = SLOWER) -> Decode:
    """``decode`` with a busy loop of ``share`` of its own time at its end."""

    @wraps(decode)
    def slow(*given: Any) -> Decoded:
        start = time.perf_counter()
        decoded = decode(*given)
        until = start + (1 + share) * (time.perf_counter() - start)
        while time.perf_counter() < until:
            pass
        return decoded

    return slow


def flipped(decode: Decode, share: float = FLIPPED) -> Decode:
    """``decode`` with ``share`` of its tokens replaced by others that are legal at their place.

    A replaced token swaps its probability with the one that takes its place. Choices are drawn from the images' own
    generators after decoding, so nothing else changes.
    """

    @wraps(decode)
    def flip(*given: Any) -> Decoded:
        decoded, request, generators = decode(*given), given[-2], given[-1]
        tokens, probabilities = decoded.tokens.clone(), decoded.probabilities.clone()
        for image, generator in enumerate(generators):
            _flip(request, tokens[image], probabilities[image], generator, share)
        return replace(decoded, tokens=tokens, probabilities=probabilities)

    return flip


def _flip(request: Request, tokens: Tensor, probabilities: Tensor, generator: torch.Generator, share: float) -> None:
    """Replace a share of one image's tokens (N, L), and swap their columns of probabilities (N, L, V), in place."""
    form = request.format
    rows, places = (torch.rand(tokens.shape, generator=generator) < share).nonzero(as_tuple=True)
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        legal = form.legal[place].nonzero()[:, 0]
        before = int(form.columns_of(tokens[row, place].cpu()))
        others = legal[legal != before]
        if len(others):
            now = int(others[int(torch.randint(len(others), (), generator=generator))])
            tokens[row, place] = form.ids[now]
            probabilities[row, place, [before, now]] = probabilities[row, place, [now, before]]


@contextmanager
def fault(decoder: str, change: Callable[[Decode], Decode] | None) -> Iterator[None]:
    """Run with a decoder's ``decode`` changed; it is as before afterwards."""
    cls = registry.load(registry.DECODERS, decoder)
    if change is None:
        yield
        return
    own = "decode" in vars(cls)
    original = cls.decode
    cls.decode = change(original)
    try:
        yield
    finally:
        if own:
            cls.decode = original
        else:
            del cls.decode


def planted_faults(options: PlantedOptions) -> Planted:
    """Run all arms, those left of an interrupted command first; the same as the command ``planted-faults``.

    Raises:
        UserError: if the decoder cannot be used, or the folder holds arms with other settings.
    """
    if options.decoder == REFERENCE:
        raise UserError(f"--decoder {REFERENCE}: is what the others are compared with; name another")
    registry.check(registry.DECODERS, options.decoder)
    path = options.out / RESULT
    found = _begun(path, _settings(options), fresh=options.fresh)
    changes: dict[str, Callable[[Decode], Decode] | None] = {"slowed": slowed, "flipped": flipped}
    changes |= {f"same-{number:02d}": None for number in range(1, options.repeats + 1)}
    with progress("planted faults") as report:
        if not found.arms:
            first = replace(_gate(options, "baseline"), update_baseline=True)
            gating.update(gating.gate(first), force=True)  # the answers will say so
            _keep(path, found)
        for name, change in changes.items():
            report(len(found.arms), len(changes))
            if name not in {arm.name for arm in found.arms}:
                with fault(options.decoder, change):
                    answer = gating.gate(_gate(options, name)).report
                found = msgspec.structs.replace(found, arms=[*found.arms, _arm(name, answer)])
                _keep(path, found)
    return found


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


def _arm(name: str, report: GateReport) -> Arm:
    slowdown = next((line.loss for line in report.lines if line.name == f"total time / {REFERENCE}"), None)
    kept = [line for line in report.lines if line.verdict != "pass"]
    reasons = [f"{line.name}: {line.verdict}, {line.reason.partition(';')[0]}" for line in kept]
    return Arm(name=name, verdict=report.verdict, slowdown=slowdown, reasons=reasons)


def _settings(options: PlantedOptions) -> dict[str, Any]:
    chosen = {name: getattr(options, name) for name in ("decoder", "preset", "images", "tasks", "threads")}
    text = None if options.settings is None else options.settings.read_text()
    here = describe_environment()
    machine = f"{here['gpu'] or here['cpu']} [{fingerprint(here)}]"
    return {**chosen, "settings": text, "code": source_hash(), "machine": machine}


def _begun(path: Path, settings: dict[str, Any], *, fresh: bool) -> Planted:
    """What an interrupted command left."""
    if fresh or not path.exists():
        return Planted(settings=settings, arms=[])
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Planted)
    except msgspec.MsgspecError as error:
        raise UserError(f"{path}: not readable ({error}); --fresh starts over") from None
    if found.settings != settings:
        raise UserError(f"{path}: was begun with other settings or code; --fresh starts over")
    return found


def _keep(path: Path, found: Planted) -> None:
    plain = {**msgspec.to_builtins(found), "verdict": found.verdict, "false_alarms": found.false_alarms}
    write_atomically(path, msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")
    write_atomically(path.with_suffix(".md"), markdown(found).encode())


def markdown(found: Planted) -> str:
    """The table of the arms, and the count of false alarms."""
    lines = [
        "# Planted faults",
        "",
        "| run | gate | slowdown | lines that did not pass |",
        "| --- | --- | ---: | --- |",
    ]
    for arm in found.arms:
        slowdown = "–" if arm.slowdown is None else f"{100 * arm.slowdown:+.1f} %"
        lines.append(f"| {arm.name} | {arm.verdict} | {slowdown} | {'; '.join(arm.reasons) or '–'} |")
    repeats = sum(arm.name.startswith("same") for arm in found.arms)
    counted = f"{found.false_alarms} false alarms in {repeats} runs of the same."
    told = ", ".join(f"{name} {found.settings[name]}" for name in TOLD if name in found.settings)
    return "\n".join([*lines, "", counted, *([f"{told[0].upper()}{told[1:]}."] if told else [])]) + "\n"
