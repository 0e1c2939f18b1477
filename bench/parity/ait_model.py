"""Our network, codecs and tasks at the sizes, and with the weights, of a golden file of AiT's released classes."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from bench.errors import UserError
from bench.parity.ait_codecs import golden_codec
from bench.parity.golden_file import AIT, GoldenFile, ParityTable
from bench.parity.mad_model import GivenMaps
from decoders.network.ait.released import convert
from decoders.network.errors import NetworkError
from decoders.network.memory import Memory
from decoders.network.network import Network, assemble
from decoders.network.options import NetworkOptions
from tasks.base import TaskParts
from tasks.codecs.formats import DepthCodes, MaskCodes
from tasks.depth import Depth
from tasks.errors import TaskError
from tasks.formats.vocabulary import DEPTH_CODE, MASK_CODE, Sizes, Vocabulary
from tasks.instances import Boxes, Instances

SEED = "seed"
RELEASED = {  # name in the file's configuration, range of ours and which of its ids
    "class_offset": ("class", 0),
    "special_offset": ("reserved", 0),
    "noise_label": ("no_object", 0),
    "mask_offset": (MASK_CODE, 0),
    "depth_offset": (DEPTH_CODE, 0),
}


@dataclass(frozen=True)
class AitSubject:
    """What is tested.

    Args:
        network: ours, with the file's weights.
        depth: our task at the file's sizes, as are the others.
        boxes: AiT's detection.
        instances: AiT's joint sequence.
        parts: what the tasks are built from.
        masks: the mask codec as a format.
        config: the file's configuration of the task solver.
        images: images in the file.
    """

    network: Network
    depth: Depth
    boxes: Boxes
    instances: Instances
    parts: TaskParts
    masks: MaskCodes
    config: dict[str, Any]
    images: int

    @property
    def released(self) -> slice:
        """Ids that the release has."""
        return slice(0, self.network.vocabulary.openings[0])

    @torch.no_grad()
    def memory(self) -> Memory:
        """What the decoder reads of the file's images."""
        features = self.network.backbone_features(torch.zeros(self.images, 3, 1, 1))
        return self.network.project_memory(self.network.encode(features))


def build(golden: GoldenFile) -> AitSubject:
    """Build everything from the file's own configurations.

    Raises:
        UserError: if the file lacks something, or its weights do not fit its configurations.
    """
    try:
        return _build(golden)
    except (KeyError, TypeError) as error:
        raise UserError(f"the golden file lacks {error}; its arrays do not describe an AiT model") from None
    except (NetworkError, TaskError, ValueError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise UserError(f"the golden file's weights and configuration disagree: {told}") from None


def _build(golden: GoldenFile) -> AitSubject:
    config = golden.config(AIT)
    if SEED in golden:
        golden.tensor(SEED)  # it made the weights, which the file has
    sizes = Sizes(layout="ait", classes=config["num_classes"], bins=config["num_bins"], slots=config["n_obj"])
    codes = {MASK_CODE: config["num_embeddings"], DEPTH_CODE: config["num_embeddings_depth"]}
    vocabulary = Vocabulary(sizes, extra=codes)
    names = ["person", *(f"class {index}" for index in range(1, sizes.classes))]
    parts = TaskParts(vocabulary, sizes, names, None, canvas=config["norm_val"])
    masks = MaskCodes(vocabulary[MASK_CODE], golden_codec(golden, "vqm"), temperature=config["tau_mask"])
    side = isqrt(config["depth_tokens"])
    depths = golden_codec(golden, "vqd")
    grid = DepthCodes(vocabulary[DEPTH_CODE], depths, grid=(side, side), temperature=config["tau_depth"])
    maps = golden.tensor("tr/src")
    return AitSubject(
        network=_network(golden, config, vocabulary, maps),
        depth=Depth(parts, depths=grid),
        boxes=Boxes(parts),
        instances=Instances(parts, masks=masks),
        parts=parts,
        masks=masks,
        config=config,
        images=len(maps),
    )


def _network(golden: GoldenFile, config: dict[str, Any], vocabulary: Vocabulary, maps: Tensor) -> Network:
    options = NetworkOptions(
        family="ait",
        width=config["d_model"],
        heads=config["nhead"],
        ffn=config["dim_feedforward"],
        encoder_layers=config["num_encoder_layers"],
        decoder_layers=config["num_decoder_layers"],
        dropout=0.0,
        positions=config["dec_length"],
    )
    network = assemble(options, vocabulary, backbone=GivenMaps(maps), channels=config["in_chans"])
    found = convert(golden.beginning("tr/w/"), network.state_dict(), vocabulary)
    if found.unused or found.missing:
        raise NetworkError(f"unused {found.unused[:3]}, missing {found.missing[:3]}")
    network.load_state_dict(found.tensors)
    return network.eval()


@torch.no_grad()
def check_memory(subject: AitSubject, golden: GoldenFile, table: ParityTable) -> None:
    """Ranges of the vocabulary, sine positions and what the encoder makes."""
    vocabulary = subject.network.vocabulary
    for theirs, (name, index) in RELEASED.items():
        ours, wanted = vocabulary[name].start + index, subject.config[theirs]
        table.note("vocabulary", ours == wanted, f"{theirs}: {wanted}, ours {ours}")
    rows = subject.config["num_vocal"]
    table.note("vocabulary", subject.released.stop <= rows, f"{rows} rows, ours {subject.released.stop}")
    encoding = subject.network.encode(subject.network.backbone_features(torch.zeros(subject.images, 3, 1, 1)))
    table.compare("memory", "tr/memory", encoding.states)
    height, width = encoding.grid
    grid = encoding.positions[:1].reshape(1, height, width, -1)
    table.compare("memory", "tr/w/enc_embed", grid, pick=(slice(None), slice(0, height), slice(0, width)))
