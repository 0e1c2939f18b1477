"""Whether two runs were on the same kind of machine: only then are absolute times comparable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

HARDWARE = ("cpu", "cores", "usable_cores", "memory_gib", "gpu", "system")
MEMORY_GIB = 1.0  # kernels reserve a little more or less of it


def hardware(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record's environment decides speed and is not chosen by a run."""
    found = {name: environment.get(name) for name in HARDWARE}
    if isinstance(found["memory_gib"], (int, float)):
        found["memory_gib"] = round(found["memory_gib"] / MEMORY_GIB)
    return found


def fingerprint(environment: Mapping[str, Any]) -> str:
    """12 letters that are equal on equal hardware."""
    plain = json.dumps(hardware(environment), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def hardware_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What differs, as ``name: one and other``; nothing on equal hardware."""
    a, b = hardware(first), hardware(second)
    return [f"{name}: {a[name]} and {b[name]}" for name in HARDWARE if a[name] != b[name]]
