"""The processes of a training, as ``torchrun`` starts them: a team whose members compute on GPUs of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from bench.team import Team, meeting, place


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
