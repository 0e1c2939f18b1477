"""Whether two times can be compared: equal settings, interleaved runs, an idle machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.system.host import BUSY_CORES
from results.record import SCHEMA, Record
from results.run_names import run_name_of

SETTINGS = ("batch", "threads", "device", "precision", "mode", "scenario", "formats", "strategy", "prompts")
DECIDING = ("formats", "strategy", "prompts")  # settings that change what is predicted, not only how fast
IDLE_LOAD = 0.75  # load beyond our own threads, above which a machine counts as busy


def settings(record: Record) -> dict[str, Any]:
    """Return the settings that decide a run's speed beside the decoder."""
    options = record.options
    chosen = {name: options.get(name) for name in ("batch", "device", "precision")}
    return chosen | {
        "threads": record.environment.get("threads"),
        "mode": record.mode.name,
        "scenario": options.get("scenario") or record.latency.scenario,
        "formats": options.get("formats") or {},
        "strategy": (options.get("strategy") or {}).get(record.decoder, {}),  # those of others do not matter
        "prompts": options.get("prompts", "detected"),
    }


def differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return name to (now, before) of the settings that differ; one that an older file lacks counts as equal."""
    common = [name for name in SETTINGS if name in now and name in before]
    return {name: (now[name], before[name]) for name in common if now[name] != before[name]}


def took_turns(first: Record, second: Record) -> bool:
    """Return whether one command interleaved two runs image by image, so that the machine's drift is in both.

    Older records do not name the interleaved runs; one command gave all of them the same start.
    """
    if first.started != second.started:
        return False
    if not first.interleaved and not second.interleaved:
        return SCHEMA not in (first.schema, second.schema)
    return run_name_of(first) in second.interleaved and run_name_of(second) in first.interleaved


def busy(record: Record) -> str | None:
    """Return why the machine counts as busy during a run; None if it does not.

    Decided by other processes' use measured image by image or, where unknown, by the load average at the end.
    """
    machine = record.machine
    if machine is None or machine.other_cores is None:
        return loaded(record.environment)
    if machine.other_cores <= BUSY_CORES:
        return None
    return f"the machine was busy (other processes used {machine.other_cores:.1f} cores)"


def loaded(environment: Mapping[str, Any]) -> str | None:
    """Return why the machine counts as busy by its load average; None if it does not.

    On a machine of many cores, others may work as long as half of the cores are free.
    """
    load, threads = environment.get("load_average"), environment.get("threads") or 1
    if load is None or load <= max(threads + IDLE_LOAD, (environment.get("usable_cores") or 1) / 2):
        return None
    return f"the machine was busy (load {load:.1f} with {threads} {'thread' if threads == 1 else 'threads'} of ours)"
