"""What a run measures: every decoder in every mode and every batch, each of which becomes a record of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench import registry
from bench.builders.decoder import build_decoder, build_network, weights_name
from bench.builders.random_inputs import random_formats
from bench.builders.suite import Suite
from bench.builders.task_formats import formats_to_run, with_formats
from bench.checkpoints.checkpoint import checkpoint_path, weights_hashes
from bench.config.run import RunOptions
from bench.errors import UserError
from bench.inference import execution_modes as modes
from bench.paths import CHECKPOINTS
from results.run_names import lane_name

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """One record to be.

    Args:
        name: of its folder.
        decoder: strategy with its options.
        suite: tasks and vocabulary of its formats.
        network: with its weights; None for a strategy that needs none.
        options: of the run, with this entry's mode, scenario and batch; no batch: the largest is to be found.
        weights: name to hash of the files of weights that the network was made of.
    """

    name: str
    decoder: Any
    suite: Suite
    network: Any
    options: RunOptions
    weights: dict[str, str]


def chosen(options: RunOptions, tell: Tell) -> dict[str, Any]:
    """Names of the decoders to classes; ``all`` leaves out those without weights and says so.

    Raises:
        UserError: if a name is unknown, or nothing is left.
    """
    found = {name: registry.load(registry.DECODERS, name) for name in options.decoders()}
    if options.decoder == "all":
        if options.checkpoints is not None and not options.checkpoints.is_dir():
            raise UserError(f"--checkpoints {options.checkpoints}: no such folder; leave it out for shipped weights")
        found = {name: cls for name, cls in found.items() if _usable(name, cls, options, tell)}
        if not found:
            raise UserError(
                f"--decoder all: none has weights for preset {options.preset}; train one, or name the oracle"
            )
    for name in options.strategy:
        if name not in found:
            raise UserError(f"--strategy: {registry.unknown('decoder of this run', name, list(found))}")
    return found


def entries(options: RunOptions, suite: Suite, device: torch.device, tell: Tell) -> list[Entry]:
    """Everything that is measured, in the order in which turns are taken.

    Args:
        options: of the run.
        suite: the data, with tasks of plain formats.
        device: where networks compute.
        tell: what is said of decoders and modes that are left out.

    Raises:
        UserError: if a decoder, its weights or all its modes cannot be used.
    """
    scenario, sizes = scenario_of(options)
    wanted = modes_of(options)
    networks: dict[tuple[str, str], Any] = {}
    found = []
    for name, cls in chosen(options, tell).items():
        decoder = build_decoder(cls, options.strategy)
        formats = (
            random_formats(options, decoder, suite.names)
            if options.random_weights
            else formats_to_run(options, decoder, suite.names)
        )
        own = with_formats(suite, formats, options)
        key = (weights_name(decoder), json.dumps(formats.card, sort_keys=True))
        if key not in networks or not decoder.needs_network:
            networks[key] = build_network(decoder, own, options, device)
        random = options.random_weights or not decoder.needs_network
        weights = {} if random else weights_hashes(weights_name(decoder), options)
        for mode in _possible(wanted, name, device, tell, network=decoder.needs_network):
            for batch in sizes:
                lane = lane_name(name, mode, scenario, batch)
                changed: RunOptions = replace(options, mode=mode, scenario=scenario, batch=batch)  # type: ignore[arg-type]
                found.append(Entry(lane, decoder, own, networks[key], changed, weights))
    if not found:
        raise UserError(f"--mode {options.mode}: no decoder of this run can be executed so; see the lines above")
    return found


def scenario_of(options: RunOptions) -> tuple[str, Sequence[int | None]]:
    """The scenario and its batches.

    Raises:
        UserError: if scenario and batch contradict each other.
    """
    scenario = options.scenario or ("latency" if options.batch in (None, 1) else "throughput")
    return scenario, batches(scenario, options.batch)


def modes_of(options: RunOptions) -> list[str]:
    """Modes that were asked for.

    Raises:
        UserError: if one is unknown or named twice.
    """
    found = [name.strip() for name in options.mode.split(",") if name.strip()]
    for name in found:
        if name not in modes.MODES:
            raise UserError(f"--mode: {registry.unknown('mode', name, list(modes.MODES))}")
    if not found or len(set(found)) != len(found):
        raise UserError(f"--mode {options.mode}: name each mode once")
    return found


def _possible(wanted: Sequence[str], name: str, device: torch.device, tell: Tell, *, network: bool) -> list[str]:
    reasons = {mode: modes.why_not(mode, device, network=network) for mode in wanted}
    for mode, reason in reasons.items():
        if reason is not None:
            tell(f"left out: {name}, {mode}: {reason}")
    return [mode for mode, reason in reasons.items() if reason is None]


def _usable(name: str, cls: Any, options: RunOptions, tell: Tell) -> bool:
    if not cls.needs_network:
        if options.speed_only:
            tell(f"left out: {name}: it uses no network")
        return not options.speed_only
    path = checkpoint_path(str(options.preset), weights_name(cls), options.checkpoints or CHECKPOINTS)
    if options.random_weights or path.exists():
        return True
    tell(f"left out: {name}: no weights for preset {options.preset}")
    return False


STREAM = (1, 4, 8, 32)


def batches(scenario: str, batch: int | None) -> list[int | None]:
    """Batch sizes of a scenario; None stands for the largest that fits.

    Raises:
        UserError: if scenario and ``batch`` contradict each other.
    """
    if scenario == "throughput":
        return [batch]
    if batch not in (None, 1):
        if scenario == "latency":
            raise UserError(f"--scenario latency decodes images one by one, got --batch {batch}; give throughput")
        raise UserError(f"--scenario stream has its own batches {STREAM}, got --batch {batch}; leave --batch out")
    return [1] if scenario == "latency" else list(STREAM)
