"""Which decoders, modes and batch sizes a run has, and its mistakes. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench import registry
from bench.builders.preflight import check_suite
from bench.checkpoints.checkpoint import check_weights, checkpoint_path
from bench.config.run import MODES, RunOptions
from bench.config.strategy import strategy_options
from bench.errors import UserError, unknown
from bench.paths import CHECKPOINTS
from bench.registry import DecoderEntry
from bench.run.stopping import seconds

STREAM = (1, 4, 8, 32)
Log = Callable[[str], None]


def check_run(options: RunOptions) -> None:
    """Refuse names, options, weights and paths that cannot be used.

    Raises:
        UserError: in one line that says what to do.
    """
    for entry in chosen_decoders(options, lambda message: None).values():
        strategy_options(entry, options.strategy)
        if entry.needs_network and not options.random_weights:
            check_weights(entry.weights, options)
    modes_of(options.mode)
    scenario_of(options.scenario, options.batch)
    if options.budget is not None:
        seconds(options.budget)
    check_suite(options)


def chosen_decoders(options: RunOptions, log: Log) -> dict[str, DecoderEntry]:
    """Return names and declarations of the decoders of a run; ``all`` skips and logs those without weights.

    Raises:
        UserError: if a name is unknown, or no decoder is left.
    """
    entries = {name: registry.decoder(name) for name in options.decoders()}
    if options.decoder == "all":
        if options.checkpoints is not None and not options.checkpoints.is_dir():
            raise UserError(f"--checkpoints {options.checkpoints}: no such folder; leave it out for shipped weights")
        entries = {name: entry for name, entry in entries.items() if _usable(entry, options, log)}
        if not entries:
            raise UserError(
                f"--decoder all: none has weights for preset {options.preset}; train one, or name the oracle"
            )
    for name in options.strategy:
        if name not in entries:
            raise UserError(f"--strategy: {unknown('decoder of this run', name, list(entries))}")
    return entries


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
        if name not in MODES:
            raise UserError(f"--mode: {unknown('mode', name, list(MODES))}")
    if not names or len(set(names)) != len(names):
        raise UserError(f"--mode {mode}: name each mode once")
    return names


def _usable(entry: DecoderEntry, options: RunOptions, log: Log) -> bool:
    if not entry.needs_network:
        if options.speed_only:
            log(f"left out: {entry.name}: it uses no network")
        return not options.speed_only
    path = checkpoint_path(options.preset, entry.weights, options.checkpoints or CHECKPOINTS)
    if options.random_weights or path.exists():
        return True
    log(f"left out: {entry.name}: no weights for preset {options.preset}")
    return False
