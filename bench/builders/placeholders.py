"""Stand-ins for what is not trained yet: a network with random weights, and detections that prompt later tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from decoders.network.network import Network, build_network
from decoders.network.options import NetworkOptions
from tasks.formats.vocabulary import Vocabulary
from tasks.targets import Detections


def random_network(options: NetworkOptions, vocabulary: Vocabulary, *, seed: int) -> Network:
    """The preset's network with random weights, the same ones for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(dataclasses.replace(options, weights=None), vocabulary).eval()


def placeholder_load(instances: int, persons: int) -> Mapping[str, Callable[[tuple[int, int]], Any]]:
    """Stand-ins of ``Pipeline`` that prompt later tasks with a given number of objects, persons first."""
    return {"detection": lambda size: objects(size, instances, persons)}


def objects(size: tuple[int, int], instances: int, persons: int) -> Detections:
    """Boxes of random places and sizes within height and width ``size``, the same ones every time."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([size[1], size[0]]).repeat(2)
    corners = torch.rand(instances, 2, generator=generator) * 0.7  # (N, 2)
    sides = 0.05 + torch.rand(instances, 2, generator=generator) * 0.25  # (N, 2)
    boxes = torch.cat([corners, corners + sides], dim=1) * scale  # (N, 4)
    classes = (torch.arange(instances) >= persons).long()
    return Detections(boxes, torch.linspace(1, 0.5, instances), classes, torch.arange(instances))
