"""What is asked of the GPU's driver, played by a driver that answers as told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.run.summary import machine
from bench.system.environment import describe_environment
from bench.system.gpu import NO_LIBRARY, GpuWatch, watch_gpu


class Driver:
    """Behaves like ``pynvml``; a function that is not named in ``answers`` fails as on a device that cannot tell."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.pids: list[int] = []

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        return [SimpleNamespace(pid=pid) for pid in self.pids]

    def nvmlSystemGetProcessName(self, pid: int) -> bytes:
        if pid == 66:
            raise self.NVMLError("not yours to see")
        return b"/opt/conda/bin/python train.py --secret"

    def __getattr__(self, name: str) -> Any:
        def answer(handle: str, *arguments: Any) -> Any:
            found = self.answers.get(name)
            if found is None:
                raise self.NVMLError("not supported")
            return found[arguments[0]] if isinstance(found, dict) else found

        return answer


def watch(driver: Driver, **more: Any) -> GpuWatch:
    return GpuWatch(driver, "gpu0", **{"pids": [10], **more})


def test_a_sample_tells_clocks_heat_and_why_clocks_are_low() -> None:
    driver = Driver(
        nvmlDeviceGetClockInfo={1: 1755, 2: 2619},
        nvmlDeviceGetTemperature=61,
        nvmlDeviceGetCurrentClocksEventReasons=0x1 | 0x4 | 0x40,
    )
    driver.pids = [10]
    assert watch(driver).sample() == {
        "sm_mhz": 1755.0,
        "memory_mhz": 2619.0,
        "celsius": 61.0,
        "throttled": ["power cap", "heat (hardware)"],  # idling is no throttling
        "foreign": [],
    }


def test_what_a_driver_does_not_tell_is_left_out() -> None:
    own = watch(Driver())
    assert own.sample() == {"throttled": [], "foreign": [], "hidden": True}
    assert own.millijoules() is None
    assert watch(Driver(nvmlDeviceGetTotalEnergyConsumption=1234)).millijoules() == 1234.0


def test_driver_and_power_limit_are_kept_where_they_are_told() -> None:
    driver = Driver(nvmlDeviceGetEnforcedPowerLimit=700_000)
    driver.nvmlSystemGetDriverVersion = lambda: b"570.1"  # type: ignore[attr-defined]
    assert watch(driver).facts() == {"driver": "570.1", "power_limit_watts": 700.0}


def test_a_run_on_the_processor_is_not_called_one_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = describe_environment(torch.device("cpu"))
    assert (found["device"], found["gpu"], found["cudnn"]) == ("cpu", None, None)
    assert {"timm", "triton", "nvidia-ml-py"} <= found["versions"].keys()


def test_old_drivers_name_the_reasons_otherwise() -> None:
    sample = watch(Driver(nvmlDeviceGetCurrentClocksThrottleReasons=0x20)).sample()
    assert sample is not None and sample["throttled"] == ["heat (software)"]


def test_it_looks_once_a_second() -> None:
    now = iter((0.0, 0.0, 0.5, 1.5, 1.5))
    own = watch(Driver(), now=lambda: next(now))
    assert own.sample() is not None
    assert own.sample() is None
    assert own.sample() is not None


def test_other_processes_are_named_and_this_one_is_not() -> None:
    driver = Driver()
    driver.pids = [7]
    own = watch(driver, every=0.0)
    driver.pids = [7, 10, 66]
    sample = own.sample()
    assert sample is not None and sample["foreign"] == ["python", "process 66"]


def test_in_a_container_the_first_new_process_is_this_one() -> None:
    driver = Driver()
    driver.pids = [7]
    own = watch(driver, every=0.0)
    driver.pids = [7, 4711]
    first = own.sample()
    driver.pids = [7, 4711, 4712]
    second = own.sample()
    assert first is not None and first["foreign"] == ["python"]
    assert second is not None and len(second["foreign"]) == 2


def test_processes_that_share_a_run_are_no_strangers_to_each_other() -> None:
    driver = Driver()
    own = watch(driver, every=0.0, pids=[10, 11])
    driver.pids = [10, 11, 66]
    sample = own.sample()
    assert sample is not None and sample["foreign"] == ["process 66"] and "hidden" not in sample
    driver = Driver()
    driver.pids = [7]
    contained = watch(driver, every=0.0, pids=[10, 11])
    driver.pids = [7, 4711, 4712, 66]
    sample = contained.sample()
    assert sample is not None and sample["foreign"] == ["python", "process 66"]


def test_where_processes_are_hidden_memory_gives_them_away() -> None:
    for used, foreign in ((0.5, []), (3.0, ["something that held 3.0 GiB before"])):
        sample = watch(Driver(nvmlDeviceGetMemoryInfo=SimpleNamespace(used=int(used * 2**30)))).sample()
        assert sample is not None and sample["foreign"] == foreign and sample["hidden"]


def test_fast_decoders_are_looked_at_beside_slow_ones() -> None:
    """In turns with one that takes seconds, a clock for all would always run out in the turn of the slow one."""
    now = 0.0
    own = watch(Driver(), now=lambda: now)
    looks = {"slow": 0, "fast": 0}
    for _ in range(10):
        for name, seconds in (("slow", 4.0), ("fast", 0.05)):
            now += seconds
            looks[name] += own.sample(name) is not None
    assert looks == {"slow": 10, "fast": 10}


def test_energy_is_kept_where_nothing_else_is_known() -> None:
    found = machine([], fingerprint="f", energy=(2.5, 2.0)).gpu
    assert found is not None and found.joules_per_image == 2.5 and found.samples == 0
    assert machine([], fingerprint="f").gpu is None


def test_without_gpu_or_library_there_is_no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch_gpu(torch.device("cpu")) == (None, "")
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert watch_gpu(torch.device("cuda")) == (None, NO_LIBRARY)
