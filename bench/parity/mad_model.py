"""Our network and tasks at the sizes, and with the weights, of a golden file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UserError
from bench.parity.golden_file import GoldenFile, ParityTable
from decoders.network.errors import NetworkError
from decoders.network.mad.released import convert
from decoders.network.memory import Features
from decoders.network.network import Network, assemble
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


class Pieces:
    """A tokenizer whose text is its pieces' numbers."""

    def __init__(self, words: int) -> None:
        self._words = words

    def __len__(self) -> int:
        return self._words

    def encode(self, text: str) -> list[int]:
        """Pieces of ``"4 8 15"``."""
        return [int(piece) for piece in text.split()]

    def decode(self, pieces: list[int]) -> str:
        """The pieces before the first 0."""
        end = pieces.index(0) if 0 in pieces else len(pieces)
        return " ".join(map(str, pieces[:end]))


class EverySlot(Keypoints):
    """MAD's release decodes joints in every object slot and drops what is no person afterwards."""

    def _people(self, context: Context) -> Tensor:
        return torch.arange(len(context.earlier[Detection.name].boxes))


class GivenMaps(nn.Module):
    """A backbone whose maps are given; the images only say how many."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, images: Tensor) -> Tensor:
        """The maps (B, C, h, w)."""
        return self.maps


@dataclass(frozen=True)
class Subject:
    """What is tested.

    Args:
        network: ours, with the file's weights.
        tasks: tag in the file to our task.
        sizes: sizes of the sequences.
        visible: tag to the ids that the file has logits of.
        features: of the file's images.
        inputs: height and width of each image as the network gets it, without padding.
        originals: height and width of each original image.
    """

    network: Network
    tasks: dict[str, Task]
    sizes: Sizes
    visible: dict[str, slice]
    features: Features
    inputs: list[tuple[int, int]]
    originals: list[tuple[int, int]]


def build(golden: GoldenFile) -> Subject:
    """Build everything from the file's own configuration.

    Raises:
        UserError: if the file lacks something, or its weights do not fit its configuration.
    """
    try:
        return _build(golden)
    except KeyError as error:
        raise UserError(f"the golden file lacks {error}; its arrays do not describe a MAD model") from None
    except (NetworkError, ValueError, TypeError, ArithmeticError, LookupError, RuntimeError) as error:
        raise UserError(f"the golden file's weights and configuration disagree: {error}") from None


def golden_sizes(config: Mapping[str, Any]) -> Sizes:
    """Sizes of the sequences from a golden file's configuration."""
    return Sizes(
        classes=config["num_classes"],
        bins=config["num_bins"],
        slots=config["num_queries"],
        mask_size=config["mask_size"],
        keypoints=config["num_kpt"],
        caption_length=config["max_len"],
        words=config["num_words"],
    )


def _build(golden: GoldenFile) -> Subject:
    config = golden.meta["config"]
    sizes = golden_sizes(config)
    maps = golden.tensor("in/feature")
    vocabulary = Vocabulary(sizes)
    network = _network(golden, config, vocabulary, maps)
    names = ["person", *(f"class {index}" for index in range(1, sizes.classes))]
    parts = TaskParts(vocabulary, sizes, names, Pieces(sizes.words), reading="edge", score_unseen=True)
    tasks: dict[str, Task] = {
        "det": Detection(parts),
        "seg": Segmentation(parts),
        "keypoint": EverySlot(parts),
        "caption": Captioning(parts),
    }
    ends = golden.meta["end_idx"]
    whole = vocabulary["word"].stop
    pad = golden.tensor("in/image_pad_mask")
    return Subject(
        network=network,
        tasks=tasks,
        sizes=sizes,
        visible={tag: slice(0, whole if ends[tag] is None else ends[tag]) for tag in tasks},
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
    network = assemble(options, vocabulary, backbone=GivenMaps(maps), channels=maps.shape[1])
    found = convert(released, network.state_dict())
    if found.unused or found.missing:
        raise NetworkError(f"unused {found.unused[:3]}, missing {found.missing[:3]}")
    network.load_state_dict(found.tensors)
    return network.eval()


def _pairs(sizes: Tensor) -> list[tuple[int, int]]:
    return [(height, width) for height, width in sizes.tolist()]


def check_vocabulary(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """Our ranges beside the file's."""
    for theirs, wanted in _ranges(golden.meta["vocab"]):
        ours = subject.network.vocabulary[RANGES[theirs]]
        table.note("vocabulary", (ours.start, ours.stop) == wanted, f"{theirs}: {ours}, expected {wanted}")


def _ranges(vocabulary: dict[str, Any]) -> Iterator[tuple[str, tuple[int, int]]]:
    for name in RANGES:
        value = vocabulary[name]
        if name.endswith("_range"):
            yield name, (value[0], value[1])
        elif isinstance(value, list):
            yield name, (value[0], value[-1] + 1)
        else:
            yield name, (value, value + 1)


def check_memory(subject: Subject, table: ParityTable) -> None:
    """Padding of the map, its projection, its positions and its encoding."""
    network, features = subject.network, subject.features
    with torch.no_grad():
        encoding = network.encode(features)
        projected = network.projection(features.map)
    pad = torch.zeros(features.map[:, 0].shape, dtype=torch.bool) if features.pad is None else features.pad
    table.compare("memory", "in/feature_pad_mask", pad)
    table.compare("memory", "enc/projected", projected)
    for name, rows in {"in/pos_embed": encoding.positions, "enc/memory": encoding.states}.items():
        table.compare("memory", name, rows.mT.reshape(*rows.mT.shape[:2], *encoding.grid))  # (B, D, h, w)
