"""When two times can be compared."""

from __future__ import annotations

from typing import Any

import pytest

from bench.compare.comparability import busy, loaded, took_turns
from bench.system.environment import fingerprint, hardware_differences
from results.record import Machine, Mode
from tests.bench.gate.test_judge import record

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
    reason = loaded(HERE | {"load_average": load, "threads": threads, "usable_cores": cores})
    assert bool(reason) == found
    assert reason is None or f"load {load:.1f}" in reason


def test_an_unknown_load_is_not_busy() -> None:
    assert loaded(HERE) is None


@pytest.mark.parametrize(
    ("other_cores", "load", "said"),
    [(0.1, 9.0, None), (1.4, 0.2, "other processes used 1.4 cores"), (None, 9.0, "load 9.0"), (None, 0.2, None)],
)
def test_what_others_used_image_by_image_counts_before_the_load_at_the_end(
    other_cores: float | None, load: float, said: str | None
) -> None:
    machine = Machine(fingerprint="f", other_cores=other_cores)
    reason = busy(record("mad", "c", 0.5, machine=machine, environment=HERE | {"load_average": load}))
    assert reason is None if said is None else reason is not None and said in reason


def test_turns_are_taken_within_one_command() -> None:
    lanes = ["mad", "mad.graphed", "parallel"]
    mad, parallel = (record(name, "c", 0.5, interleaved=lanes) for name in ("mad", "parallel"))
    graphed = record("mad", "c", 0.5, interleaved=lanes, mode=Mode(name="graphed"))
    assert took_turns(mad, parallel) and took_turns(mad, graphed)
    beside = record("parallel", "c", 0.5, interleaved=["parallel"])
    assert not took_turns(mad, beside), "two commands that began in the same second"
    later = record("parallel", "c", 0.5, interleaved=lanes, started="2026-01-01T00:00:30+00:00")
    assert not took_turns(mad, later), "it overlaps, but is of another command"
    old = {"schema": "decoder-bench/record/1"}
    assert took_turns(record("mad", "c", 0.5, **old), record("parallel", "c", 0.5, **old))


def test_the_fingerprint_is_of_hardware_only() -> None:
    assert fingerprint(HERE) == fingerprint(HERE | {"threads": 2, "load_average": 3.0, "memory_gib": 7.7})
    other = HERE | {"cpu": "Other CPU", "gpu": "Some GPU"}
    assert fingerprint(other) != fingerprint(HERE)
    assert hardware_differences(HERE, other) == ["cpu: Some CPU and Other CPU", "gpu: None and Some GPU"]
    assert hardware_differences(HERE, HERE | {"memory_gib": 7.9}) == []
