"""When two times can be compared: same hardware, taken in turns, on a machine with nothing else to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bench.hardware import BUSY_CORES
from bench.naming import lane_of
from results.record import SCHEMA, Record

HARDWARE = ("cpu", "cores", "usable_cores", "memory_gib", "gpu", "system")
SETTINGS = ("batch", "threads", "device", "precision", "mode", "scenario", "formats", "strategy", "prompts")
DECIDING = ("formats", "strategy", "prompts")  # settings that change what is predicted, not only how fast
IDLE_LOAD = 0.75  # processes at work beside our own threads, above which a machine counts as busy


def hardware(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record's environment decides speed and is not chosen by a run."""
    found = {name: environment.get(name) for name in HARDWARE}
    if isinstance(found["memory_gib"], (int, float)):
        found["memory_gib"] = round(found["memory_gib"])  # kernels reserve a little more or less of it
    return found


def fingerprint(environment: Mapping[str, Any]) -> str:
    """12 letters that are equal on equal hardware."""
    plain = json.dumps(hardware(environment), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def hardware_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What differs, as ``name: one and other``; nothing on equal hardware."""
    a, b = hardware(first), hardware(second)
    return [f"{name}: {a[name]} and {b[name]}" for name in HARDWARE if a[name] != b[name]]


def settings(record: Record) -> dict[str, Any]:
    """What a run chose that decides its speed beside the decoder."""
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
    """Settings that differ, those of now first; one that an older file does not tell counts as equal."""
    known = [name for name in SETTINGS if name in now and name in before]
    return {name: (now[name], before[name]) for name in known if now[name] != before[name]}


def took_turns(first: Record, second: Record) -> bool:
    """Whether one command measured two runs in turns, image by image, so that the machine's drift is in both.

    Two commands at the same time disturb each other instead. Older records do not name who took turns; one command
    gave all of them the same start.
    """
    if first.started != second.started:
        return False
    if not first.interleaved and not second.interleaved:
        return SCHEMA not in (first.schema, second.schema)
    return lane_of(first) in second.interleaved and lane_of(second) in first.interleaved


def busy(record: Record) -> str | None:
    """Why the machine counts as busy with other things while a run was measured; None if it does not.

    Other processes' use of it was measured image by image; where that is not known, the load average at the end tells.
    """
    machine = record.machine
    if machine is None or machine.other_cores is None:
        return loaded(record.environment)
    if machine.other_cores <= BUSY_CORES:
        return None
    return f"the machine was busy (other processes used {machine.other_cores:.1f} cores)"


def loaded(environment: Mapping[str, Any]) -> str | None:
    """Why the machine counts as busy from the load average of a record's environment; None if it does not.

    On a machine of many cores others may work as long as half of the cores are free.
    """
    load, threads = environment.get("load_average"), environment.get("threads") or 1
    if load is None or load <= max(threads + IDLE_LOAD, (environment.get("usable_cores") or 1) / 2):
        return None
    return f"the machine was busy (load {load:.1f} with {threads} {'thread' if threads == 1 else 'threads'} of ours)"
