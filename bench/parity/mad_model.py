"""Our network and tasks at the sizes, and with the weights, of a golden file of MAD's released classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.parity.golden_file import GoldenFile
from bench.parity.golden_network import golden_network
from bench.parity.parity_table import ParityTable
from decoders.matching import assign
from decoders.network.mad.released import convert
from decoders.network.memory import Features
from decoders.network.network import Network
from decoders.network.options import NetworkOptions
from tasks.base import Task, TaskParts
from tasks.captioning import Captioning
from tasks.detection import Detection
from tasks.formats.vocabulary import Sizes, Vocabulary
from tasks.keypoints import Keypoints
from tasks.segmentation import Segmentation
from tasks.targets import Context

RANGES = {  # name in the file's vocabulary, ours
    "det_token": "detection_prompt",
    "seg_token": "segmentation_prompt",
    "keypoint_token": "keypoints_prompt",
    "caption_token": "caption_prompt",
    "mask_token": "mask",
    "class_range": "class",
    "fake_class_token": "no_object",
    "coord_range": "coordinate",
    "foreground_token": "foreground",
    "background_token": "background",
    "visible_token": "visible",
    "invisible_token": "invisible",
    "text_range": "word",
}


class NumberTokenizer:
    """A tokenizer whose text is the numbers of its pieces, such as ``"4 8 15"``."""

    def __init__(self, words: int) -> None:
        self._words = words

    def __len__(self) -> int:
        return self._words

    def encode(self, text: str) -> list[int]:
        """Return the pieces of a text."""
        return [int(piece) for piece in text.split()]

    def decode(self, pieces: list[int]) -> str:
        """Return the text of the pieces before the first 0."""
        end = pieces.index(0) if 0 in pieces else len(pieces)
        return " ".join(map(str, pieces[:end]))


def padded_pieces(captions: Sequence[str], length: int) -> Tensor:
    """Return (B, length) pieces of captions, 0 behind their end."""
    rows = torch.zeros(len(captions), length, dtype=torch.int64)
    for row, caption in zip(rows, captions, strict=True):
        pieces = [int(piece) for piece in caption.split()]
        row[: len(pieces)] = torch.tensor(pieces, dtype=torch.int64)
    return rows


class EverySlot(Keypoints):
    """MAD's release decodes joints in every object slot and drops what is no person afterwards."""

    def _people(self, context: Context) -> Tensor:
        return torch.arange(len(context.earlier[Detection.name].boxes))


@dataclass(frozen=True)
class MadSubject:
    """What is tested."""

    network: Network  # ours, with the file's weights
    tasks: dict[str, Task]  # tag in the file to our task
    sizes: Sizes  # sizes of the sequences
    visible: dict[str, slice]  # tag to the ids that the file has logits of
    features: Features  # of the file's images
    inputs: list[tuple[int, int]]  # height and width of each network input, without padding
    originals: list[tuple[int, int]]  # height and width of each original image


def golden_sizes(config: Mapping[str, Any]) -> Sizes:
    """Return the sizes of the sequences in a golden file's configuration."""
    return Sizes(
        classes=config["num_classes"],
        bins=config["num_bins"],
        slots=config["num_queries"],
        mask_size=config["mask_size"],
        keypoints=config["num_kpt"],
        caption_length=config["max_len"],
        words=config["num_words"],
    )


def build(golden: GoldenFile) -> MadSubject:
    """Build everything from the file's own configuration.

    Raises:
        UserError: if the file lacks something, or its weights do not fit its configuration.
    """
    config, ends = golden.meta["config"], golden.meta["end_idx"]
    sizes, maps = golden_sizes(config), golden.tensor("in/feature")
    vocabulary = Vocabulary(sizes)
    network = _network(golden, config, vocabulary, maps)
    names = ["person", *(f"class {index}" for index in range(1, sizes.classes))]
    parts = TaskParts(vocabulary, sizes, names, NumberTokenizer(sizes.words), reading="edge", score_unseen=True)
    tasks: dict[str, Task] = {
        "det": Detection(parts),
        "seg": Segmentation(parts),
        "keypoint": EverySlot(parts),
        "caption": Captioning(parts),
    }
    last = vocabulary["word"].stop
    pad = golden.tensor("in/image_pad_mask")
    return MadSubject(
        network=network,
        tasks=tasks,
        sizes=sizes,
        visible={tag: slice(0, last if ends[tag] is None else ends[tag]) for tag in tasks},
        features=network.backbone_features(torch.zeros(len(maps), 3, *pad.shape[1:]), pad),
        inputs=_pairs(golden.tensor("in/image_sizes")),
        originals=_pairs(golden.tensor("in/orig_sizes")),
    )


def _network(golden: GoldenFile, config: dict[str, Any], vocabulary: Vocabulary, maps: Tensor) -> Network:
    released = golden.beginning("param/")
    options = NetworkOptions(
        width=config["embed"],
        heads=config["heads"],
        ffn=config["ffn"],
        encoder_layers=config["enc_layers"],
        decoder_layers=config["dec_layers"],
        dropout=0.0,
        positions=len(released["seq_pos_embed"]),
    )
    return golden_network(options, vocabulary, maps, partial(convert, released))


def _pairs(sizes: Tensor) -> list[tuple[int, int]]:
    return [(height, width) for height, width in sizes.tolist()]


def check_vocabulary(subject: MadSubject, table: ParityTable) -> None:
    """Compare our id ranges with the file's."""
    for theirs, name in RANGES.items():
        ids, ours = table.golden.meta["vocab"][theirs], subject.network.vocabulary[name]
        if theirs.endswith("_range"):
            expected = ids[0], ids[1]
        else:
            expected = (ids[0], ids[-1] + 1) if isinstance(ids, list) else (ids, ids + 1)
        table.check("vocabulary", (ours.start, ours.stop) == expected, f"{theirs}: {ours}, expected {expected}")


@torch.no_grad()
def check_memory(subject: MadSubject, table: ParityTable) -> None:
    """Compare the padding of the map, its projection, its positions and its encoding."""
    network, features = subject.network, subject.features
    encoding = network.encode(features)
    pad = torch.zeros(features.map[:, 0].shape, dtype=torch.bool) if features.pad is None else features.pad
    positions, states = (
        rows.mT.reshape(*rows.mT.shape[:2], *encoding.grid) for rows in (encoding.positions, encoding.states)
    )  # (B, D, h, w)
    table.row("memory", "in")(feature_pad_mask=pad, pos_embed=positions)
    table.row("memory", "enc")(projected=network.projection(features.map), memory=states)


def compare_pairs(table: ParityTable, family: str, name: str, costs: Tensor) -> None:
    """Match objects to groups by costs (Q, n) and compare; ``name`` has braces for ``cost``, ``row`` and ``col``."""
    pairs = assign(costs[None], torch.tensor([costs.shape[1]]))[0]
    slots = (pairs >= 0).nonzero()[:, 0]
    for array, actual in {"cost": costs, "row": slots, "col": pairs[slots]}.items():
        table.compare(family, name.format(array), actual)
