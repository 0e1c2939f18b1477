"""The training step of MAD's released classes (golden arrays) as views of our own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from decoders.base import View
from tasks.base import Task
from tasks.captioning import Captioning
from tasks.detection import Detection
from tasks.keypoints import Keypoints
from tasks.segmentation import Segmentation
from tests.tasks.task_examples import Golden, shared

TASKS = {"det": Detection, "seg": Segmentation, "keypoint": Keypoints, "caption": Captioning}


class Words:
    """Stands in for a tokenizer where only the number of pieces matters."""

    def __init__(self, words: int) -> None:
        self.words = words

    def __len__(self) -> int:
        return self.words

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def decode(self, pieces: list[int]) -> str:
        raise NotImplementedError


def meta() -> dict[str, Any]:
    """What the file says of itself."""
    with np.load(shared("golden/mad.npz")) as archive:
        return json.loads(str(archive["meta_json"]))  # type: ignore[no-any-return]


def parameters() -> dict[str, Tensor]:
    """The release's weights under its own names."""
    with np.load(shared("golden/mad.npz")) as archive:
        names = [name for name in archive.files if name.startswith("param/")]
        return {name.removeprefix("param/"): torch.from_numpy(archive[name]) for name in names}


def task(golden: Golden, tag: str) -> Task:
    """The task of a tag at the file's sizes."""
    names = ["person", *list(golden.parts.class_names)[1:]]
    return TASKS[tag](replace(golden.parts, class_names=names, tokenizer=Words(golden.sizes.words)))


def logits(golden: Golden, found: Task, tag: str) -> Tensor:
    """(Y, B, S, P + L, V) the release's logits over the task's own vocabulary, both copies on the S axis."""
    return golden.tensor(f"train/{tag}/logits")[..., found.format.ids]


def views(golden: Golden, found: Task, tag: str) -> list[View]:
    """The release's two copies: its inputs, and targets before matching."""
    inputs = golden.tensor(f"train/{tag}/input_seq")  # (B, S, P + L)
    tokens = golden.tensor(f"train/{tag}/target_seq_initial")  # (B, S, L)
    weights = golden.tensor(f"train/{tag}/loss_mask")
    masked = inputs[..., found.format.prompt_length :] == golden.parts.vocabulary.id("mask")
    full = 1 if found.format.matching != "fixed" else inputs.shape[1] // 2
    real = None
    if tag == "det":
        real = torch.stack([slots_of(golden, found, image, rows) for image, rows in enumerate(tokens)])
        weights = torch.ones_like(weights)
    copies = []
    for copy, shown in enumerate((slice(0, full), slice(full, None))):
        alternatives = found.format.matching == "alternatives"
        several = slice(full, None) if alternatives else shown
        # In the fully masked copy every position counts: a caption's augmentation overwrites one of its mask tokens.
        counted = torch.ones_like(masked[:, shown]) if copy == 0 else masked[:, shown]
        given = weights[:, several]
        if alternatives and copy == 0:  # here a loss mask tells which references there are
            given = given.any(-1, keepdim=True).expand_as(given).float()
        copies.append(
            View(
                inputs=inputs[:, shown],
                attention="full",
                tokens=tokens[:, several],
                weights=given,
                counted=counted,
                matching=found.format.matching if tag == "det" or copy == 0 else "fixed",
                real=None if real is None else real[:, shown],
            )
        )
    return copies


def slots_of(golden: Golden, found: Task, image: int, tokens: Tensor) -> Tensor:
    """(S, G) bool: slots of the sequences (S, L) that hold an annotated object."""
    height, width = golden.tensor("in/image_sizes")[image].tolist()
    coordinates, classes = golden.parts.vocabulary["coordinate"], golden.parts.vocabulary["class"]
    boxes = golden.tensor(f"gt/img{image}/boxes") / torch.tensor([width, height, width, height])
    bins = (boxes * golden.sizes.bins).floor().clamp(0, golden.sizes.bins).long()
    names = classes.start + golden.tensor(f"gt/img{image}/classes")[:, None]
    objects = torch.cat([coordinates.start + bins, names], dim=1)  # (n, 5)
    slots = tokens.reshape(len(tokens), found.format.groups, 1, -1)  # (S, G, 1, 5)
    return (slots == objects).all(dim=-1).any(dim=-1)
