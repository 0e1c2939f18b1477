"""A process of many that has no batch of a decoder measures the others to their end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench.distributed import ProcessGroup
from bench.run.interleaving import Interleaving
from bench.run.stopping import Limits


class DecoderRun(SimpleNamespace):
    """A decoder that takes an eighth of a second an image."""

    def __init__(self, name: str, batches: int) -> None:
        super().__init__(name=name, mode="eager", failed=None, images=0, seconds=0.0, batches=[[None]] * batches)

    @property
    def unfinished(self) -> bool:
        return bool(self.batches)

    def step(self) -> None:
        assert self.images < 1000, "it does not end"
        self.images, self.seconds = self.images + 1, self.seconds + 0.125

    def end_turn(self, milliseconds: float) -> None:
        pass


@pytest.mark.parametrize("budget", [None, 1e-9])
def test_it_ends(budget: float | None) -> None:
    runs: Any = [DecoderRun("stream.batch1", 3), DecoderRun("stream.batch32", 0)]
    limits = Limits(seconds=1.0, images=5, budget=budget)
    ended = Interleaving(runs, limits, endless=True, group=ProcessGroup(), log=print).run()
    assert ended == ("enough" if budget is None else "budget")
    assert [run.images for run in runs] == [8 if budget is None else 1, 0]
