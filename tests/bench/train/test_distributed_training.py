"""Several processes, or several parts of a step, learn what one process learns from the whole step."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import start_processes

from bench.config.training import TrainOptions
from bench.train.batches import TaskBatch, TokenBatch
from bench.train.multitask_loss import MultitaskLoss
from bench.train.network import train
from decoders.masked.parallel import Parallel
from tasks.codecs.vector_quantizer import VectorQuantizer
from tasks.formats.sequence import TrainingBatch
from tests.bench import tiny_presets as presets
from tests.decoders import tiny_networks as tiny

IMAGES = 4
HALVES = ([0, 1], [2, 3])
PARTS = tiny.small_parts()
FORM = tiny.joint(PARTS)


def batch(rows: list[int]) -> TokenBatch:
    """Some of four images; the further back, the fewer of their targets count."""
    generator = torch.Generator().manual_seed(5)
    first = torch.tensor([slot.ranges[0].start for slot in FORM.slots] * FORM.groups)
    tokens = first + torch.randint(2, (IMAGES, 1, FORM.length), generator=generator)
    weights = (torch.arange(FORM.length) < torch.tensor([12, 9, 2, 1])[:, None, None]).float()
    prompts = torch.zeros(IMAGES, 1, FORM.prompt_length, dtype=torch.int64)
    targets = TrainingBatch(prompts[rows], tokens[rows], weights[rows])
    states = torch.randn(IMAGES, 16, 32, generator=generator)[rows]
    return TokenBatch({"joint": TaskBatch(torch.arange(len(rows)), targets)}, generator, states=states)


def learned(batches: list[TokenBatch]) -> tuple[Tensor, Tensor]:
    """Mean loss of the parts, and a gradient."""
    task: Any = SimpleNamespace(name="joint", format=FORM)
    objective = MultitaskLoss(network=tiny.network(PARTS), decoder=Parallel(), tasks=[task], weights={})
    if len(batches) > 1:
        objective.weigh_step(batches, [0] * len(batches))
    total = torch.zeros(())
    for part in batches:
        loss, parts = objective(part)
        assert torch.equal(parts["joint"], loss)
        (loss / len(batches)).backward()
        total += loss.detach() / len(batches)
    gradient: Tensor | None = objective.network.decoder.layers[0].own.projection.weight.grad  # type: ignore[union-attr, assignment]
    assert gradient is not None
    return total, gradient


@pytest.mark.parametrize("cuts", [HALVES, ([0], [1], [2], [3])])
def test_parts_of_a_step_are_worth_what_the_whole_is(cuts: tuple[list[int], ...]) -> None:
    whole, parts = learned([batch([0, 1, 2, 3])]), learned([batch(rows) for rows in cuts])
    torch.testing.assert_close(parts, whole)
    alone = torch.stack([learned([batch(rows)])[0] for rows in cuts]).mean()
    assert not torch.allclose(alone, whole[0], rtol=1e-3), "means of means are something else"


def test_measuring_draws_what_training_draws() -> None:
    parts = [batch(rows) for rows in HALVES]
    before = [part.generator.get_state() for part in parts]
    learned(parts)
    assert all(torch.equal(part.generator.get_state(), state) for part, state in zip(parts, before, strict=True))


def in_two_processes(function: Any, *args: Any) -> None:
    """Call ``function(rank, *args)`` in two processes."""
    start_processes(function, args=args, nprocs=2, start_method=presets.START_METHOD)  # type: ignore[no-untyped-call]


def _one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)  # threads of the process that this one was forked from do not exist here
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    loss, gradient = learned([batch(HALVES[rank])])
    torch.manual_seed(0)
    quantizer = VectorQuantizer(codes=16, width=2, revive=0.5).train()
    torch.manual_seed(10 + rank)
    for _ in range(5):
        quantizer(torch.randn(1, 2, 8, 8) + 10 * rank)
    torch.save((loss, gradient, quantizer.state_dict()), Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_share_the_weight_of_a_step_and_a_codebook(tmp_path: Path) -> None:
    in_two_processes(_one_of_two, str(tmp_path))
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    loss, gradient = (torch.stack([result[place] for result in results]).mean(0) for place in range(2))
    torch.testing.assert_close((loss, gradient), learned([batch([0, 1, 2, 3])]))
    first, second = (result[2] for result in results)
    assert int(first["revived"]) > 0
    assert all(torch.equal(first[name], second[name]) for name in first)


def _train_as(rank: int, port: int, options: TrainOptions) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}  # as torchrun sets them
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train(options)


def test_two_processes_do_what_one_does_in_two_parts(root: Path, encoder: Path, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    train(presets.options(alone, root, "mad", "--encoder", str(encoder), "--train.accumulate", "2"))
    options = presets.options(shared, root, "mad", "--encoder", str(encoder))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    in_two_processes(_train_as, port, options)
    for expected, point in zip(presets.curve(alone), presets.curve(shared), strict=True):
        if "loss" in expected:
            assert point == pytest.approx(expected, rel=2e-3)
