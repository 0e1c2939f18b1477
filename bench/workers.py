"""The processes of a training, as ``torchrun`` starts them: who writes, where each computes, and who goes first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch

PATIENCE = timedelta(hours=12)  # the others wait at the next step while the first process packs or evaluates


@dataclass(frozen=True)
class Processes:
    """This process among those of a training; alone without ``torchrun``.

    Args:
        rank: its number.
        world: how many there are.
        local: its number on its machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where it computes: a GPU of its own, if there are any."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local % torch.cuda.device_count())

    @contextmanager
    def one_at_first(self) -> Iterator[None]:
        """Let the first process of each machine run the block before the others, which find what it left in caches.

        The block must not wait for other processes.
        """
        if self.local and self.world > 1:
            torch.distributed.barrier()
        yield
        if not self.local and self.world > 1:
            torch.distributed.barrier()

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes, which all have to ask for it."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
            values /= self.world
        return values


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the other processes that ``torchrun`` started, if it did."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes()
        return
    own = Processes(int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_RANK", "0")))
    if own.device.type == "cuda":
        torch.cuda.set_device(own.device)  # or every process would put its messages on the first GPU
    torch.distributed.init_process_group("nccl" if own.device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield own
    finally:
        torch.distributed.destroy_process_group()
