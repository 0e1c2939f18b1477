"""Processes that share the images of a run, as ``torchrun`` starts them; one of them without it.

What they exchange are small Python objects, through the CPU, so that it works beside any device and on several nodes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch

PATIENCE = timedelta(days=7)
"""How long processes wait for each other: one may still compile, decode, pack or evaluate when the others are done."""


@dataclass(frozen=True)
class Team:
    """This process among those that share a run.

    Args:
        rank: its number; 0 writes the record.
        world: how many there are.
        local: its number on its machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes the record."""
        return self.rank == 0

    def everyone(self, value: Any) -> list[Any]:
        """The values of all processes in order of rank; all of them wait for each other."""
        if self.world == 1:
            return [value]
        import torch.distributed

        found: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(found, value)
        return found

    def neighbors(self) -> list[int]:
        """Ids of the run's processes on this machine, this one's among them."""
        here = platform.node()
        return [pid for machine, pid in self.everyone((here, os.getpid())) if machine == here]

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.everyone(None)

    @contextmanager
    def one_at_first(self) -> Iterator[None]:
        """Let the first process of each machine run the block before the others, which find what it left in caches."""
        if self.local:
            self.wait()
        try:
            yield
        finally:  # the others meet the same error themselves
            if not self.local:
                self.wait()


@contextmanager
def joined() -> Iterator[Team]:
    """Join the other processes that ``torchrun`` started, if it did."""
    own = Team(*place())
    with meeting(own.world, "gloo"):
        yield own


def place() -> tuple[int, int, int]:
    """Rank, world and local rank, as ``torchrun`` tells them to this process; those of one process alone without it."""
    rank, world, local = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return (rank, world, local) if world > 1 else (0, 1, 0)


@contextmanager
def meeting(world: int, backend: str) -> Iterator[None]:
    """Let the processes of ``torchrun`` reach each other, if there are several.

    Args:
        world: how many there are.
        backend: of ``torch.distributed``: ``gloo`` or ``nccl``.
    """
    if world == 1:
        yield
        return
    import torch.distributed

    torch.distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class Processes(Team):
    """This process among those of a training; alone without ``torchrun``. ``Team`` tells its arguments."""

    @property
    def device(self) -> torch.device:
        """Where it computes: a GPU of its own, if there are any."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local % torch.cuda.device_count())

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes, which all have to ask for it."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
            values /= self.world
        return values


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the other processes that ``torchrun`` started, if it did."""
    own = Processes(*place())
    if own.device.type == "cuda":
        torch.cuda.set_device(own.device)  # or every process would put its messages on the first GPU
    with meeting(own.world, "nccl" if own.device.type == "cuda" else "gloo"):
        yield own
