"""What a run measures: every decoder in every mode and batch size, each with its own record.

Scenarios (MLPerf's names in brackets): ``latency`` decodes images one by one, as the papers time them (single stream);
``throughput`` the largest batch that fits (offline); ``stream`` fixed batches of 1, 4, 8 and 32 (multi-stream).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.builders.decoder import build_decoder, build_network
from bench.builders.suite import Suite, with_formats
from bench.builders.task_formats import formats_to_run, random_formats
from bench.checkpoints.checkpoint import missing_tensors, read_card, weights_hashes, weights_path
from bench.config.run import RunOptions
from bench.errors import UserError
from bench.inference import execution_modes as modes
from bench.run.choice import Log, chosen_decoders, modes_of, scenario_of
from results.run_names import run_name


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
    for name, entry in chosen_decoders(options, log).items():
        decoder = build_decoder(name, options.strategy)
        choose_formats = random_formats if options.random_weights else formats_to_run
        formats = choose_formats(options, decoder, suite.names)
        untrained = options.random_weights or not entry.needs_network
        card = None if untrained else read_card(weights_path(entry.weights, options))
        own_suite = with_formats(suite, formats, options, score_unseen=options.score_unseen, card=card)
        key = (entry.weights, json.dumps(formats.card, sort_keys=True))
        if key not in networks or not decoder.needs_network:
            networks[key] = build_network(
                decoder,
                own_suite.vocabulary,
                options,
                device,
                tokenizer=own_suite.data.get("tokenizer", {}).get("hash"),
            )
        weights = {} if untrained else weights_hashes(entry.weights, options)
        missing = [] if untrained else missing_tensors(entry.weights, options)
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


def _available_modes(names: Sequence[str], decoder: str, device: torch.device, log: Log, *, network: bool) -> list[str]:
    reasons = {mode: modes.unavailable_reason(mode, device, network=network) for mode in names}
    for mode, reason in reasons.items():
        if reason is not None:
            log(f"left out: {decoder}, {mode}: {reason}")
    return [mode for mode, reason in reasons.items() if reason is None]
