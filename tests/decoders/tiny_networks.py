"""A network small enough for every test, its memory of random images, and requests of any format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bench.parity.mad_model import NumberTokenizer
from decoders.base import Request
from decoders.network.memory import Features
from decoders.network.network import Network, assemble
from decoders.network.options import NetworkOptions
from tasks.base import TaskParts
from tasks.formats.sequence import SequenceFormat, Slot
from tests.tasks.task_examples import parts

CHANNELS = 8


def small_parts() -> TaskParts:
    """Sizes at which every sequence is short."""
    small = parts(slots=4, mask_size=3, keypoints=3, caption_length=7, words=12, depth_bins=5, depth_grid=(2, 3))
    return TaskParts(small.vocabulary, small.sizes, small.class_names, NumberTokenizer(12))


def joint(own: TaskParts) -> SequenceFormat:
    """Two objects of a point, a class and three codes: sparse positions, then dense ones, then sparse ones again."""
    words = own.vocabulary
    point, kind, code = (Slot((words[n],), dense=n == "depth_bin") for n in ("coordinate", "class", "depth_bin"))
    slots = (point, point, kind, code, code, code)
    return SequenceFormat(task="joint", prompt_length=2, slots=slots, groups=2, target_only=(words["no_object"],))


def network(own: TaskParts) -> Network:
    options = NetworkOptions(width=32, heads=2, ffn=48, encoder_layers=1, decoder_layers=2, positions=40, dropout=0.0)
    torch.manual_seed(1)
    return assemble(options, own.vocabulary, backbone=nn.Identity(), channels=CHANNELS).eval()


def make_memory(shared: Network, images: Sequence[int]) -> Any:
    """The memory of numbered random images."""
    maps = [torch.randn(CHANNELS, 3, 4, generator=torch.Generator().manual_seed(n)) for n in images]
    with torch.no_grad():
        return shared.project_memory(shared.encode(Features(torch.stack(maps))))


def make_request(form: SequenceFormat, counts: Sequence[int]) -> Request:
    """Images with the given numbers of sequences; prompts differ from row to row."""
    valid = torch.arange(max(counts)) < torch.tensor(counts)[:, None]  # (B, N)
    prompts = torch.arange(max(counts))[:, None].repeat(1, form.prompt_length) % 5  # (N, P)
    return Request(format=form, prompts=prompts.expand(len(counts), -1, -1) * valid[..., None], valid=valid)


def generators(images: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(100 + n) for n in images]
