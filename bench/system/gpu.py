"""The GPU while times are measured: clocks, heat, throttling, other processes and energy, from NVIDIA's library.

The library (``pip install nvidia-ml-py``, extra ``gpu``) is optional; without it a run logs a note.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
"""Bits of the clocks' event reasons that slow a busy GPU; idling and application clocks are left out."""

HELD_GIB = 1.0
"""Memory in use before a run above which another process is on the GPU: drivers and displays hold less."""

NO_LIBRARY = "nvidia-ml-py is not installed (extra `gpu`), so clocks, heat and other processes were not looked at"


class GpuWatch:
    """Reads one GPU; values that the driver does not support are left out.

    Args:
        library: the module ``pynvml``, or a fake one.
        handle: of the device.
        every: seconds between two readings of a decoder.
        now: returns seconds.
        pids: of this process and of those that share its run.
    """

    def __init__(
        self,
        library: Any,
        handle: Any,
        *,
        every: float = 1.0,
        now: Callable[[], float] = time.monotonic,
        pids: Sequence[int] | None = None,
    ) -> None:
        self._library = library
        self._handle = handle
        self._every = every
        self._now = now
        self._group = [os.getpid()] if pids is None else pids
        self._before = self._pids()
        self._held = self._held_gib()
        self._own: set[int] = set()
        self._last: dict[str, float] = {}

    def sample(self, decoder: str = "") -> dict[str, Any] | None:
        """Return ``sm_mhz``, ``memory_mhz``, ``celsius``, ``throttled`` and ``foreign``; None if it is too early.

        ``hidden`` is set where the driver does not show even this process, so that it may hide others.

        Args:
            decoder: that has just computed. Each has its own interval, or slow decoders would get all readings.
        """
        if self._now() - self._last.get(decoder, -float("inf")) < self._every:
            return None
        self._last[decoder] = self._now()
        library, ask = self._library, self._ask
        clocks = {
            "sm_mhz": ask("nvmlDeviceGetClockInfo", getattr(library, "NVML_CLOCK_SM", 1)),
            "memory_mhz": ask("nvmlDeviceGetClockInfo", getattr(library, "NVML_CLOCK_MEM", 2)),
            "celsius": ask("nvmlDeviceGetTemperature", getattr(library, "NVML_TEMPERATURE_GPU", 0)),
        }
        values = {name: float(value) for name, value in clocks.items() if value is not None}
        reading = {**values, "throttled": self._throttled(), "foreign": self._foreign()}
        if self._own:
            return reading
        if self._held > HELD_GIB:
            reading["foreign"] = [*self._foreign(), f"something that held {self._held:.1f} GiB before"]
        return {**reading, "hidden": True}

    def millijoules(self) -> float | None:
        """Return the energy counter; None where there is none (before Volta)."""
        value = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if value is None else float(value)

    def facts(self) -> dict[str, Any]:
        """Return ``driver`` and ``power_limit_watts``; None where the driver does not support them."""
        try:
            version = self._library.nvmlSystemGetDriverVersion()
        except self._library.NVMLError:
            version = None
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        return {
            "driver": version.decode() if isinstance(version, bytes) else version,
            "power_limit_watts": None if limit is None else limit / 1000,
        }

    def _throttled(self) -> list[str]:
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:
            bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")  # its name in older libraries
        return [name for bit, name in REASONS.items() if int(bits or 0) & bit]

    def _foreign(self) -> list[str]:
        """Name other processes. In a container the driver has other ids, and the first new ones are ours."""
        pids = self._pids()
        shown = {pid for pid in pids if pid in self._group}
        if shown or not self._own:
            new = [pid for pid in pids if pid not in self._before]
            self._own = shown or set(new[: len(self._group)])
        return [self._name(pid) for pid in pids if pid not in self._own]

    def _held_gib(self) -> float:
        """Return the memory in use on the whole GPU, by all processes."""
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return 0.0 if memory is None else float(memory.used) / 2**30

    def _pids(self) -> list[int]:
        return [int(process.pid) for process in self._ask("nvmlDeviceGetComputeRunningProcesses") or []]

    def _name(self, pid: int) -> str:
        try:
            name = self._library.nvmlSystemGetProcessName(pid)
        except self._library.NVMLError:
            return f"process {pid}"
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        return text.split()[0].rsplit("/", 1)[-1] if text.strip() else f"process {pid}"

    def _ask(self, function: str, *arguments: Any) -> Any:
        call = getattr(self._library, function, None)
        try:
            return None if call is None else call(self._handle, *arguments)
        except self._library.NVMLError:
            return None


_watches: dict[str, GpuWatch] = {}


def gpu_facts(device: torch.device) -> dict[str, Any]:
    """Return the constant facts of a GPU; empty without the library."""
    watch, _ = watch_gpu(device)
    return {} if watch is None else watch.facts()


def watch_gpu(device: torch.device, pids: Sequence[int] | None = None) -> tuple[GpuWatch | None, str]:
    """Return the watch of a GPU, or None and the reason; later calls return the same watch.

    Call it before anything computes there: processes that are on the GPU then are foreign.

    Args:
        device: where it computes.
        pids: of this process and of those that share its run.
    """
    if device.type != "cuda":
        return None, ""
    if str(device) in _watches:
        return _watches[str(device)], ""
    try:
        import pynvml
    except ImportError:
        return None, NO_LIBRARY
    try:
        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
    except pynvml.NVMLError as error:
        return None, f"the GPU's driver does not tell ({error}), so clocks, heat and other processes were not looked at"
    _watches[str(device)] = GpuWatch(pynvml, handle, pids=pids)
    return _watches[str(device)], ""
