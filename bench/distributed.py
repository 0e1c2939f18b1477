"""The processes that ``torchrun`` starts to share a run or a training; a single process without it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TIMEOUT = timedelta(days=7)
"""How long processes wait for each other: one may still compile, decode, pack or evaluate when the others are done."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process and those that it shares its work with.

    Args:
        rank: number of this process; 0 writes the results.
        world_size: number of processes.
        local_rank: number of this process on its machine.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes the results."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The GPU of this process; the CPU where there is no GPU."""
        import torch

        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all processes in order of rank. Every process must call it."""
        if self.world_size == 1:
            return [value]
        import torch.distributed

        values: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Replace ``values`` by their mean over all processes. Every process must call it."""
        if self.world_size > 1:
            import torch.distributed

            torch.distributed.all_reduce(values)
            values /= self.world_size
        return values

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.all_gather(None)

    def local_pids(self) -> list[int]:
        """Return the ids of the group's processes on this machine, this one's included."""
        here = platform.node()
        return [pid for machine, pid in self.all_gather((here, os.getpid())) if machine == here]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the first process of each machine run the block before the others, which then find its caches."""
        if self.local_rank:
            self.barrier()
        try:
            yield
        finally:  # the others meet the same error themselves
            if not self.local_rank:
                self.barrier()


@contextmanager
def join(*, on_gpus: bool = False) -> Iterator[ProcessGroup]:
    """Join the processes that ``torchrun`` started, if it did.

    Args:
        on_gpus: exchange tensors between GPUs (nccl) where there are any; else small objects through the CPU (gloo),
            which works beside any device and on several nodes.
    """
    rank, world_size, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    group = ProcessGroup(rank, world_size, local_rank) if world_size > 1 else ProcessGroup()
    backend = "gloo"
    if on_gpus and group.device.type == "cuda":
        import torch

        torch.cuda.set_device(group.device)  # otherwise every process would put its messages on the first GPU
        backend = "nccl"
    with init_group(group.world_size, backend):
        yield group


@contextmanager
def init_group(world_size: int, backend: str) -> Iterator[None]:
    """Connect the processes of ``torchrun`` through a backend of ``torch.distributed``, if there are several."""
    if world_size == 1:
        yield
        return
    import torch.distributed

    torch.distributed.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
