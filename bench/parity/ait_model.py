"""Our network, codecs and tasks at the sizes, and with the weights, of a golden file of AiT's released classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from bench.parity.ait_codecs import golden_codec
from bench.parity.golden_file import AIT, GoldenFile
from bench.parity.golden_network import golden_network
from bench.parity.parity_table import ParityTable
from decoders.network.ait.released import convert
from decoders.network.memory import Encoding, Memory
from decoders.network.network import Network
from decoders.network.options import NetworkOptions
from tasks.base import TaskParts
from tasks.codecs.formats import DepthCodes, MaskCodes
from tasks.depth import Depth
from tasks.formats.vocabulary import DEPTH_CODE, MASK_CODE, Sizes, Vocabulary
from tasks.instances import Boxes, Instances

SEED = "seed"
FIRST_IDS = {  # name in the file's configuration, our range that begins with that id
    "class_offset": "class",
    "special_offset": "reserved",
    "noise_label": "no_object",
    "mask_offset": MASK_CODE,
    "depth_offset": DEPTH_CODE,
}


@dataclass(frozen=True)
class AitSubject:
    """What is tested, at the file's sizes."""

    network: Network  # ours, with the file's weights
    depth: Depth  # our task
    boxes: Boxes  # AiT's detection
    instances: Instances  # AiT's joint sequence
    parts: TaskParts  # of the tasks
    masks: MaskCodes  # the mask codec as a format
    config: dict[str, Any]  # the file's configuration of the task solver
    images: int  # images in the file

    @property
    def released(self) -> slice:
        """Ids that the release has."""
        return slice(0, self.network.vocabulary.openings[0])

    @torch.no_grad()
    def encoding(self) -> Encoding:
        """Return the encoder's states of the file's images."""
        return self.network.encode(self.network.backbone_features(torch.zeros(self.images, 3, 1, 1)))

    @torch.no_grad()
    def memory(self) -> Memory:
        """Return the decoder's memory of the file's images."""
        return self.network.project_memory(self.encoding())


def build(golden: GoldenFile) -> AitSubject:
    """Build everything from the file's own configurations.

    Raises:
        UserError: if the file lacks something, or its weights do not fit its configurations.
    """
    config = golden.config(AIT)
    if SEED in golden:
        golden.tensor(SEED)  # of the weights, which the file has
    sizes = Sizes(layout="ait", classes=config["num_classes"], bins=config["num_bins"], slots=config["n_obj"])
    codes = {MASK_CODE: config["num_embeddings"], DEPTH_CODE: config["num_embeddings_depth"]}
    others = config["num_vocal"] - Vocabulary(sizes, extra=codes).openings[0]
    sizes = replace(sizes, others=max(0, others))
    vocabulary = Vocabulary(sizes, extra=codes)
    names = ["person", *(f"class {index}" for index in range(1, sizes.classes))]
    parts = TaskParts(vocabulary, sizes, names, None, canvas=config["norm_val"])
    masks = MaskCodes(vocabulary[MASK_CODE], golden_codec(golden, "vqm"), temperature=config["tau_mask"])
    side = isqrt(config["depth_tokens"])
    depth_codec, ids = golden_codec(golden, "vqd"), vocabulary[DEPTH_CODE]
    depths = DepthCodes(ids, depth_codec, grid=(side, side), temperature=config["tau_depth"])
    maps = golden.tensor("tr/src")
    return AitSubject(
        network=_network(golden, config, vocabulary, maps),
        depth=Depth(parts, depths=depths),
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
    released = golden.beginning("tr/w/")
    return golden_network(options, vocabulary, maps, partial(convert, released, vocabulary=vocabulary))


@torch.no_grad()
def check_memory(subject: AitSubject, table: ParityTable) -> None:
    """Compare id ranges, sine positions and the encoder's states."""
    for theirs, name in FIRST_IDS.items():
        ours, expected = subject.network.vocabulary[name].start, subject.config[theirs]
        table.check("vocabulary", ours == expected, f"{theirs}: {expected}, ours {ours}")
    rows = subject.config["num_vocal"]
    table.check("vocabulary", subject.released.stop == rows, f"{rows} rows, ours {subject.released.stop}")
    encoding = subject.encoding()
    table.compare("memory", "tr/memory", encoding.states)
    height, width = encoding.grid
    positions = encoding.positions[:1].reshape(1, height, width, -1)
    table.compare("memory", "tr/w/enc_embed", positions, pick=(slice(None), slice(0, height), slice(0, width)))
