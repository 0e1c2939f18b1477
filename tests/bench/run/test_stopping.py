"""When times are believed: warm-up, minimums, budgets, scenarios, turns, and the load of the machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from bench.inference.image_batches import make_batches
from bench.run import peak_rates as rates
from bench.run.batch_size import largest_batch
from bench.run.choice import scenario_of
from bench.run.interleaving import in_step, interleave
from bench.run.stopping import Limits, WarmUpRule, seconds, warm_up
from bench.system.host import HostLoad, busy_core_seconds
from results.record import PeakRates


def test_budgets() -> None:
    assert [seconds(text) for text in ("60s", "90", "1.5m", "2h")] == [60, 90, 90, 7200]
    for wrong in ("soon", "60x", "0s", "-3s", ""):
        with pytest.raises(UserError, match="give a time"):
            seconds(wrong)


def test_enough_needs_both_minimums_and_a_budget_ends_everything() -> None:
    limits = Limits(seconds=10, images=50, budget=60)
    assert limits.ended(images=50, measured=9, passed=20) is None
    assert limits.ended(images=49, measured=30, passed=40) is None
    assert limits.ended(images=50, measured=10, passed=20) == "enough"
    assert limits.ended(images=3, measured=1, passed=60) == "budget"
    assert Limits(budget=None).ended(images=0, measured=0, passed=1e9) is None


def ticking(*, step: float) -> Iterator[float]:
    return itertools.count(0.0, step)


@pytest.mark.parametrize(
    ("times", "step", "expected", "stable"),
    [
        ([90, 12, 10, 10.5, 10.2, 99], 0.0, 5, True),  # the last three within 10 %
        ([10, 20] * 20, 0.0, 15, False),  # never
        ([70] * 20, 6.0, 1, False),  # one image takes longer than the warm-up may
    ],
)
def test_warm_up_ends_when_times_agree_or_at_its_limits(
    times: list[float], step: float, expected: int, stable: bool
) -> None:
    given_times, clock = iter(times), ticking(step=step)
    taken, agreed = warm_up(lambda: next(given_times), WarmUpRule(), now=lambda: next(clock))
    assert (len(taken), agreed) == (expected, stable)


def test_scenarios() -> None:
    assert scenario_of("latency", None) == scenario_of(None, 1) == ("latency", [1])
    assert scenario_of("throughput", 12) == scenario_of(None, 12) == ("throughput", [12])
    assert scenario_of("throughput", None) == ("throughput", [None])
    assert scenario_of("stream", None) == ("stream", [1, 4, 8, 32])
    for scenario in ("latency", "stream"):
        with pytest.raises(UserError, match=f"--scenario {scenario}.*--batch 4"):
            scenario_of(scenario, 4)


def test_the_largest_batch_is_the_last_that_fitted() -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= 20

    assert largest_batch(fits, most=128) == 16
    assert tried == [1, 2, 4, 8, 16, 32]
    assert largest_batch(lambda size: True, most=8) == 8
    with pytest.raises(UserError, match="not even one image"):
        largest_batch(lambda size: False, most=8)


@dataclass
class Decoder:
    """Takes turns; ``left`` batches of one size."""

    size: int
    left: int
    images: int = 0

    @property
    def unfinished(self) -> bool:
        return self.left > 0

    def step(self) -> None:
        self.left -= 1
        self.images += self.size


def taken(decoders: dict[str, Decoder]) -> str:
    names = {id(decoder): name for name, decoder in decoders.items()}
    order = ""
    for decoder in interleave(list(decoders.values())):
        order += names[id(decoder)]
        decoder.step()
    return order


def test_decoders_take_turns_image_by_image() -> None:
    assert taken({"a": Decoder(1, 3), "b": Decoder(1, 3), "c": Decoder(1, 3)}) == "abcabcabc"


def test_larger_batches_come_less_often() -> None:
    assert taken({"a": Decoder(1, 8), "b": Decoder(4, 2)}) == "abaaaabaaa"


def test_one_that_was_interrupted_behind_catches_up_first() -> None:
    ahead, behind = Decoder(1, 2, images=4), Decoder(1, 4, images=2)
    assert not in_step([ahead, behind])
    assert taken({"a": ahead, "b": behind}) == "bbabab"
    assert in_step([ahead, behind])


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 7))
def test_batches_keep_order_kind_and_every_image_once(kinds: list[bool], size: int) -> None:
    found = make_batches(range(len(kinds)), size, lambda image: kinds[image])
    assert [image for batch in found for image in batch] == list(range(len(kinds)))
    for batch in found:
        assert 1 <= len(batch) <= size
        assert len({kinds[image] for image in batch}) == 1
    if size > 1:
        full = [len(batch) < size and kinds[batch[-1]] == kinds[after[0]] for batch, after in itertools.pairwise(found)]
        assert not any(full), "a batch is cut short only where the kind changes"


def test_other_processes_are_what_the_machine_does_beside_this_one() -> None:
    now, busy, own = iter((0.0, 0.5, 2.0, 2.0)), iter((100.0, 106.0)), iter((10.0, 13.0))
    load = HostLoad(now=lambda: next(now), busy=lambda: next(busy), own=lambda: next(own))
    assert load.others() is None, "too early"
    assert load.others() == (6.0 - 3.0) / 2.0


def test_busy_time_leaves_out_idling_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = {"user": 100.0, "nice": 20.0, "system": 30.0, "irq": 1.0, "softirq": 2.0, "steal": 3.0}
    monkeypatch.setattr("psutil.cpu_times", lambda: SimpleNamespace(**busy, idle=5000.0, iowait=7.0, guest=50.0))
    assert busy_core_seconds() == 100 + 20 + 30 + 1 + 2 + 3
    monkeypatch.setattr("psutil.cpu_times", lambda: SimpleNamespace(user=1.0, nice=2.0, system=3.0, idle=9.0))
    assert busy_core_seconds() == 6, "on a system with fewer kinds"


def test_rates_are_measured_once_and_not_kept_from_a_busy_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter((PeakRates(matmul_gflops=1, bandwidth_gb=2), PeakRates(matmul_gflops=3, bandwidth_gb=4)))
    monkeypatch.setattr(rates, "measure", lambda device, dtype: next(measured))

    def ask(keep: bool) -> PeakRates:
        return rates.peak_rates(torch.device("cpu"), "float32", folder=tmp_path, fingerprint="f", keep=keep)

    assert ask(False).matmul_gflops == 1
    assert ask(True) == ask(True) == PeakRates(matmul_gflops=3, bandwidth_gb=4)
    (kept,) = tmp_path.iterdir()
    kept.write_text("{")
    with pytest.raises(StopIteration):
        ask(True)  # a broken file is measured anew


def test_rates_count_operations_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which every repetition takes 2 ms."""

    class Watch:
        time = 0.0

        def now(self) -> float:
            self.time += 2.0
            return self.time

        def finish(self) -> None:
            pass

        def between(self, first: float, second: float) -> float:
            return second - first

    monkeypatch.setitem(rates.SIDES, "cpu", 10)
    monkeypatch.setitem(rates.COPIED, "cpu", 1000)
    found = rates.measure(torch.device("cpu"), torch.float32, watch=Watch())
    assert found.matmul_gflops == pytest.approx(2 * 10**3 / 2e-3 / 1e9)
    assert found.bandwidth_gb == pytest.approx(2 * 1000 / 2e-3 / 1e9)
