"""When two times can be compared."""

from __future__ import annotations

from typing import Any

import pytest

from bench.conditions import busy, fingerprint, hardware_differences

HERE: dict[str, Any] = {"cpu": "Some CPU", "cores": 2, "usable_cores": 2, "memory_gib": 7.8, "gpu": None, "threads": 1}


@pytest.mark.parametrize(
    ("load", "threads", "cores", "found"),
    [
        (1.0, 1, 2, False),
        (1.7, 1, 2, False),
        (1.9, 1, 2, True),
        (4.2, 4, 4, False),
        (5.0, 1, 16, False),
        (9, 1, 16, True),
    ],
)
def test_a_busy_machine(load: float, threads: int, cores: int, found: bool) -> None:
    reason = busy(HERE | {"load_average": load, "threads": threads, "usable_cores": cores})
    assert bool(reason) == found
    assert reason is None or f"load {load:.1f}" in reason


def test_an_unknown_load_is_not_busy() -> None:
    assert busy(HERE) is None


def test_the_fingerprint_is_of_hardware_only() -> None:
    assert fingerprint(HERE) == fingerprint(HERE | {"threads": 2, "load_average": 3.0, "memory_gib": 7.7})
    other = HERE | {"cpu": "Other CPU", "gpu": "Some GPU"}
    assert fingerprint(other) != fingerprint(HERE)
    assert hardware_differences(HERE, other) == ["cpu: Some CPU and Other CPU", "gpu: None and Some GPU"]
    assert hardware_differences(HERE, HERE | {"memory_gib": 7.9}) == []
