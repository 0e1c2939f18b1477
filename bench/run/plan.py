"""What a run measures: every decoder in every mode and batch size, each with its own record.

Scenarios (MLPerf's names in brackets): ``latency`` decodes images one by one, as the papers time them (single stream);
``throughput`` the largest batch that fits (offline); ``stream`` fixed batches of 1, 4, 8 and 32 (multi-stream).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench import registry
from bench.builders.decoder import build_decoder, build_network, weights_name
from bench.builders.suite import Suite, with_formats
from bench.builders.task_formats import formats_to_run, random_formats
from bench.checkpoints.checkpoint import checkpoint_path, missing_tensors, weights_hashes
from bench.config.run import RunOptions
from bench.errors import UserError, unknown
from bench.inference import execution_modes as modes
from bench.paths import CHECKPOINTS
from results.run_names import run_name

STREAM = (1, 4, 8, 32)
Log = Callable[[str], None]


@dataclass(frozen=True)
class PlannedRun:
    """A decoder to measure in one mode and batch size.

    Args:
        name: of its folder.
        decoder: strategy with its options.
        suite: tasks and vocabulary of its formats.
        network: with its weights; None for a strategy that needs none.
        options: of the run, with this decoder's mode, scenario and batch; without a batch the largest is searched.
        weights: name to hash of the weight files of the network.
        missing: tensors of it that the imported checkpoint behind them lacks.
    """

    name: str
    decoder: Any
    suite: Suite
    network: Any
    options: RunOptions
    weights: dict[str, str]
    missing: list[str]


def chosen_decoders(options: RunOptions, log: Log) -> dict[str, Any]:
    """Return names and classes of the decoders of a run; ``all`` skips and logs those without weights.

    Raises:
        UserError: if a name is unknown, or no decoder is left.
    """
    classes = {name: registry.load(registry.DECODERS, name) for name in options.decoders()}
    if options.decoder == "all":
        if options.checkpoints is not None and not options.checkpoints.is_dir():
            raise UserError(f"--checkpoints {options.checkpoints}: no such folder; leave it out for shipped weights")
        classes = {name: cls for name, cls in classes.items() if _usable(name, cls, options, log)}
        if not classes:
            raise UserError(
                f"--decoder all: none has weights for preset {options.preset}; train one, or name the oracle"
            )
    for name in options.strategy:
        if name not in classes:
            raise UserError(f"--strategy: {unknown('decoder of this run', name, list(classes))}")
    return classes


def plan(options: RunOptions, suite: Suite, device: torch.device, log: Log) -> list[PlannedRun]:
    """Return everything that is measured, in the order of turns.

    Args:
        options: of the run.
        suite: data and tasks with plain formats.
        device: of the networks.
        log: called with a message for each skipped decoder or mode.

    Raises:
        UserError: if a decoder, its weights or all its modes cannot be used.
    """
    scenario, sizes = scenario_of(options.scenario, options.batch)
    mode_names = modes_of(options.mode)
    networks: dict[tuple[str, str], Any] = {}
    planned = []
    for name, cls in chosen_decoders(options, log).items():
        decoder = build_decoder(cls, options.strategy)
        choose_formats = random_formats if options.random_weights else formats_to_run
        formats = choose_formats(options, decoder, suite.names)
        own_suite = with_formats(suite, formats, options, score_unseen=options.score_unseen)
        key = (weights_name(decoder), json.dumps(formats.card, sort_keys=True))
        if key not in networks or not decoder.needs_network:
            networks[key] = build_network(
                decoder,
                own_suite.vocabulary,
                options,
                device,
                tokenizer=own_suite.data.get("tokenizer", {}).get("hash"),
            )
        untrained = options.random_weights or not decoder.needs_network
        weights = {} if untrained else weights_hashes(weights_name(decoder), options)
        missing = [] if untrained else missing_tensors(weights_name(decoder), options)
        if missing:
            log(f"note: {name}: {len(missing)} tensors of its weights are random, {missing[0]} first; see its card")
        for mode in _available_modes(mode_names, name, device, log, network=decoder.needs_network):
            for batch in sizes:
                own_options: RunOptions = replace(options, mode=mode, scenario=scenario, batch=batch)  # type: ignore[arg-type]
                folder = run_name(name, mode, scenario, batch)
                planned.append(PlannedRun(folder, decoder, own_suite, networks[key], own_options, weights, missing))
    if not planned:
        raise UserError(f"--mode {options.mode}: no decoder of this run can be executed so; see the lines above")
    return planned


def scenario_of(scenario: str | None, batch: int | None) -> tuple[str, Sequence[int | None]]:
    """Return the scenario and its batch sizes; None stands for the largest that fits.

    Raises:
        UserError: if scenario and batch contradict each other.
    """
    scenario = scenario or ("latency" if batch in (None, 1) else "throughput")
    if scenario == "throughput":
        return scenario, [batch]
    if batch not in (None, 1):
        if scenario == "latency":
            raise UserError(f"--scenario latency decodes images one by one, got --batch {batch}; give throughput")
        raise UserError(f"--scenario stream has its own batches {STREAM}, got --batch {batch}; leave --batch out")
    return scenario, [1] if scenario == "latency" else list(STREAM)


def modes_of(mode: str) -> list[str]:
    """Return the modes named in ``--mode``.

    Raises:
        UserError: if one is unknown or named twice.
    """
    names = [name.strip() for name in mode.split(",") if name.strip()]
    for name in names:
        if name not in modes.MODES:
            raise UserError(f"--mode: {unknown('mode', name, list(modes.MODES))}")
    if not names or len(set(names)) != len(names):
        raise UserError(f"--mode {mode}: name each mode once")
    return names


def _available_modes(names: Sequence[str], decoder: str, device: torch.device, log: Log, *, network: bool) -> list[str]:
    reasons = {mode: modes.unavailable_reason(mode, device, network=network) for mode in names}
    for mode, reason in reasons.items():
        if reason is not None:
            log(f"left out: {decoder}, {mode}: {reason}")
    return [mode for mode, reason in reasons.items() if reason is None]


def _usable(name: str, cls: Any, options: RunOptions, log: Log) -> bool:
    if not cls.needs_network:
        if options.speed_only:
            log(f"left out: {name}: it uses no network")
        return not options.speed_only
    path = checkpoint_path(options.preset, weights_name(cls), options.checkpoints or CHECKPOINTS)
    if options.random_weights or path.exists():
        return True
    log(f"left out: {name}: no weights for preset {options.preset}")
    return False
